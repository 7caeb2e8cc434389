"""The identity under which this process claims runs, and the lease that makes its claims valid."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock, IdSource
from wes_daemon.application.ports.errors import LeaseLost, StorageMisconfigured, StorageUnavailable
from wes_daemon.application.ports.leases import DaemonInfo, Publication, SessionId
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.outage_log import OutageLog

_log = logging.getLogger(__name__)

_HEARTBEATS_PER_LEASE = 4
# The part at the end of a lease in which no request is sent, because a request cannot be withdrawn.
_LEASE_MARGIN = 1 / 6


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProcess:
    """Where this daemon runs; shown to people."""

    host: str
    pid: int
    version: str


class DaemonSession:
    """One identity of one daemon process in the database, under a lease that has to be renewed.

    When the lease is lost, the process takes a new identity: an id is never reused once other daemons may have taken
    over its claims.

    The database's clock decides when the lease expires. This process measures its trusted lease by its monotonic clock:
    it begins before the request for the renewal is sent, and lasts five sixths of the lease.
    """

    def __init__(
        self,
        *,
        units: UnitsOfWork,
        ids: IdSource,
        clock: Clock,
        process: HostProcess,
        lasting: timedelta,
        inherits: bool = False,
        providers: Publication | None = None,
    ) -> None:
        """Open no lease yet.

        Args:
            lasting: the length of the lease.
            inherits: whether the first session of a database inherits the runs of another daemon.
            providers: what every session publishes.
        """
        self._units = units
        self._ids = ids
        self._clock = clock
        self._process = process
        self._lasting = lasting
        self._inherits = inherits
        self._providers = providers
        # Locked while the identity is opened, replaced or closed, but not while a renewal waits for the database.
        self._identity_lock = threading.Lock()
        self._current: SessionId | None = None
        self._valid_until: timedelta | None = None

    @property
    def heartbeat_interval(self) -> timedelta:
        """The time between two renewals of the lease."""
        return self._lasting / _HEARTBEATS_PER_LEASE

    @property
    def id(self) -> SessionId:
        """The current identity; the first access opens its lease."""
        current = self._current
        if current is not None:
            return current
        with self._identity_lock:
            return self._current or self._open()

    def renew(self) -> None:
        """Extend the lease; take a new identity if it is lost."""
        current = self._current
        if current is None:
            _ = self.id
            return
        requested_at = self._clock.monotonic()
        try:
            with self._units() as work:
                work.leases.renew(current, lasting=self._lasting)
                work.commit()
        except LeaseLost:
            self._replace(current)
        else:
            with self._identity_lock:
                self._extend(current, requested_at)

    def renew_if_needed(self) -> None:
        """Renew the lease if less than half its length is left, because heartbeats were missed."""
        if self._current is None or self._time_left() < self._lasting / 2:
            self.renew()

    def require_lease(self, at_least: timedelta = timedelta(0)) -> None:
        """Check that the lease is still valid for this time, before a request is sent.

        A process that never had a lease has no claims, so its requests are not restricted.

        Args:
            at_least: how long the request may take.

        Raises:
            LeaseLost: the lease may expire before that time has passed.
        """
        if self._valid_until is not None and self._time_left() <= at_least:
            raise LeaseLost(f"the lease of daemon {self._current} may end before an answer arrives")

    def close(self) -> None:
        """End the lease, so that other daemons can take over its claims at once."""
        with self._identity_lock:
            current, self._current = self._current, None
            self._valid_until = None if current is None else timedelta(0)
            if current is None:
                return
            with self._units() as work:
                work.leases.close(current)
                work.commit()

    def _replace(self, lost: SessionId) -> None:
        with self._identity_lock:
            # A session that was closed meanwhile has ended on purpose and is not replaced.
            if self._current == lost:
                log_event(_log, logging.WARNING, "lease.lost", daemon=lost, renewed_as=self._open())

    def _open(self) -> SessionId:
        id, requested_at = SessionId(self._ids.new_id()), self._clock.monotonic()
        inherited = 0
        with self._units() as work:
            if self._inherits:
                inherited = work.submissions.inherit()
            work.leases.open(self._info(id), lasting=self._lasting)
            work.commit()
        if inherited:
            log_event(_log, logging.INFO, "inherited.enrolled", runs=inherited)
        self._current = id
        self._extend(id, requested_at)
        return id

    def _extend(self, id: SessionId, requested_at: timedelta) -> None:
        if self._current == id:
            self._valid_until = requested_at + self._lasting * (1 - _LEASE_MARGIN)

    def _time_left(self) -> timedelta:
        return (self._valid_until or timedelta(0)) - self._clock.monotonic()

    def _info(self, id: SessionId) -> DaemonInfo:
        process = self._process
        return DaemonInfo(
            id=id,
            host=process.host,
            pid=process.pid,
            version=process.version,
            started_at=self._clock.now(),
            providers=self._providers,
        )


@contextmanager
def renewing_lease(daemon_session: DaemonSession, *, every: timedelta, outage_log: OutageLog) -> Iterator[None]:
    """Renew the lease in a thread of its own during the block, then close it; for commands that run no daemon."""
    done = threading.Event()
    heartbeat = threading.Thread(
        target=_renew_until, args=(done, daemon_session, every, outage_log), name="heartbeat", daemon=True
    )
    heartbeat.start()
    try:
        yield
    finally:
        done.set()
        heartbeat.join()
        _close(daemon_session)


def _renew_until(done: threading.Event, session: DaemonSession, every: timedelta, outage_log: OutageLog) -> None:
    while not done.wait(every.total_seconds()):
        started = outage_log.started()
        try:
            session.renew()
        except (StorageUnavailable, StorageMisconfigured) as error:
            outage_log.failed(session, error, during="heartbeat", started=started)
        else:
            outage_log.succeeded(session)


def _close(session: DaemonSession) -> None:
    try:
        session.close()
    except (StorageUnavailable, StorageMisconfigured) as error:
        # The work is done, and a lease that is not renewed expires.
        log_event(_log, logging.WARNING, "lease.not_closed", reason=error)
