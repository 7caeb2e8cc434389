"""The identity under which this process claims runs, and the lease that makes the claims good."""

import logging
import threading
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application import fault_points
from wes_daemon.application.events import log_event
from wes_daemon.application.ports.environment import Clock, IdSource
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.persistence import DaemonId, DaemonInfo, UnitsOfWork

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProcess:
    """Where this daemon runs, for the people who look at the database."""

    host: str
    pid: int
    version: str


class Incarnation:
    """One daemon process's identity in the database, under a lease that has to be renewed.

    When the lease is found lost, a new identity is taken: an id is never used again once others may have
    taken over what it held.
    """

    def __init__(
        self, *, units: UnitsOfWork, ids: IdSource, clock: Clock, process: HostProcess, lasting: timedelta
    ) -> None:
        self._units = units
        self._ids = ids
        self._clock = clock
        self._process = process
        self._lasting = lasting
        # Held while the identity is announced, replaced or given up, and never while its lease is renewed.
        self._changing = threading.Lock()
        self._current: DaemonId | None = None

    @property
    def id(self) -> DaemonId:
        """The current identity; the first time it is asked for, it is announced."""
        current = self._current
        if current is not None:
            return current
        with self._changing:
            return self._current or self._open()

    def renew(self) -> None:
        """Extend the lease, or take a new identity where it is lost."""
        current = self._current
        if current is None:
            _ = self.id
            return
        fault_points.reached("lease.before_renewal")
        try:
            with self._units() as work:
                work.leases.renew(current, lasting=self._lasting)
                work.commit()
        except LeaseLost:
            self._replace(current)
        fault_points.reached("lease.after_renewal")

    def close(self) -> None:
        """End the lease, so that others may take over at once what is still claimed."""
        with self._changing:
            current, self._current = self._current, None
            if current is None:
                return
            with self._units() as work:
                work.leases.close(current)
                work.commit()

    def _replace(self, lost: DaemonId) -> None:
        with self._changing:
            # The lease of one that was closed meanwhile is over because somebody wanted that.
            if self._current == lost:
                log_event(_log, logging.WARNING, "lease.lost", daemon=lost, renewed_as=self._open())

    def _open(self) -> DaemonId:
        id = DaemonId(self._ids.new_id())
        with self._units() as work:
            work.leases.open(self._info(id), lasting=self._lasting)
            work.commit()
        self._current = id
        return id

    def _info(self, id: DaemonId) -> DaemonInfo:
        process = self._process
        return DaemonInfo(
            id=id, host=process.host, pid=process.pid, version=process.version, started_at=self._clock.now()
        )
