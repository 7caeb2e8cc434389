"""The identity under which this process claims runs, and the lease that makes the claims good."""

import logging
import threading
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock, IdSource
from wes_daemon.application.ports.errors import LeaseLost
from wes_daemon.application.ports.leases import DaemonInfo, SessionId
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime import fault_points
from wes_daemon.application.runtime.event_log import log_event

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProcess:
    """Where this daemon runs, for the people who look at the database."""

    host: str
    pid: int
    version: str


# What of a lease is not trusted: the answer to a renewal was on its way, and a call once begun is not called back.
_MARGIN = 1 / 6


class DaemonSession:
    """One daemon process's identity in the database, under a lease that has to be renewed.

    When the lease is found lost, a new identity is taken: an id is never used again once others may have
    taken over what it held.

    The lease itself lasts on the database's clock. This process trusts it, by a clock of its own that nobody sets,
    from before it asked for a renewal until a sixth of the lease before its end.
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
        self._current: SessionId | None = None
        self._trusted_until: timedelta | None = None

    @property
    def id(self) -> SessionId:
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
        asked_at = self._clock.monotonic()
        try:
            with self._units() as work:
                work.leases.renew(current, lasting=self._lasting)
                work.commit()
        except LeaseLost:
            self._replace(current)
        else:
            with self._changing:
                self._trust(current, asked_at)
        fault_points.reached("lease.after_renewal")

    def ensure_trust(self) -> None:
        """Renew the lease where it is not trusted any more, or not for long: its heart has missed some beats."""
        if self._current is None or self._trusted_for() < self._lasting / 2:
            self.renew()

    def require_trust(self, during: timedelta = timedelta(0)) -> None:
        """See to it that nothing is sent under a lease that may be over before the answer is there.

        A process that never had a lease holds no claim that others could take over, and may send what it likes.

        Args:
            during: how long the call may take.

        Raises:
            LeaseLost: by our own clock the lease does not surely last as long.
        """
        if self._trusted_until is not None and self._trusted_for() <= during:
            raise LeaseLost(f"the lease of daemon {self._current} may end before an answer would come")

    def close(self) -> None:
        """End the lease, so that others may take over at once what is still claimed."""
        with self._changing:
            current, self._current = self._current, None
            self._trusted_until = None if current is None else timedelta(0)
            if current is None:
                return
            with self._units() as work:
                work.leases.close(current)
                work.commit()

    def _replace(self, lost: SessionId) -> None:
        with self._changing:
            # The lease of one that was closed meanwhile is over because somebody wanted that.
            if self._current == lost:
                log_event(_log, logging.WARNING, "lease.lost", daemon=lost, renewed_as=self._open())

    def _open(self) -> SessionId:
        id, asked_at = SessionId(self._ids.new_id()), self._clock.monotonic()
        with self._units() as work:
            work.leases.open(self._info(id), lasting=self._lasting)
            work.commit()
        self._current = id
        self._trust(id, asked_at)
        return id

    def _trust(self, id: SessionId, asked_at: timedelta) -> None:
        if self._current == id:
            self._trusted_until = asked_at + self._lasting * (1 - _MARGIN)

    def _trusted_for(self) -> timedelta:
        return (self._trusted_until or timedelta(0)) - self._clock.monotonic()

    def _info(self, id: SessionId) -> DaemonInfo:
        process = self._process
        return DaemonInfo(
            id=id, host=process.host, pid=process.pid, version=process.version, started_at=self._clock.now()
        )
