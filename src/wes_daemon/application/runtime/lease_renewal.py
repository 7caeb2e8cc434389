"""A lease that lasts as long as a piece of work, for those who run no daemon."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.outage_log import OutageLog

_log = logging.getLogger(__name__)


@contextmanager
def renewing_lease(daemon_session: DaemonSession, *, every: timedelta, outage_log: OutageLog) -> Iterator[None]:
    """Renew the lease in a thread of its own while the block lasts, and end it afterwards."""
    done = threading.Event()
    heart = threading.Thread(
        target=_beat, args=(daemon_session, every, outage_log, done), name="heartbeat", daemon=True
    )
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        _close(daemon_session)


def _close(daemon_session: DaemonSession) -> None:
    try:
        daemon_session.close()
    except (StorageUnavailable, StorageMisconfigured) as error:
        # The work is done, and a lease that nobody renews runs out by itself.
        log_event(_log, logging.WARNING, "lease.not_closed", reason=error)


def _beat(daemon_session: DaemonSession, every: timedelta, outage_log: OutageLog, done: threading.Event) -> None:
    while not done.wait(every.total_seconds()):
        begun = outage_log.begins()
        try:
            daemon_session.renew()
        except (StorageUnavailable, StorageMisconfigured) as error:
            outage_log.failed(daemon_session, error, during="heartbeat", begun=begun)
        else:
            outage_log.worked(daemon_session)
