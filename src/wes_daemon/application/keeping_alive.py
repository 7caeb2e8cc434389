"""A lease that lasts as long as a piece of work, for those who run no daemon."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from wes_daemon.application.database_watch import DatabaseWatch
from wes_daemon.application.events import log_event
from wes_daemon.application.incarnation import Incarnation
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable

_log = logging.getLogger(__name__)


@contextmanager
def kept_alive(incarnation: Incarnation, *, every: timedelta, watch: DatabaseWatch) -> Iterator[None]:
    """Renew the lease in a thread of its own while the block lasts, and end it afterwards."""
    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(incarnation, every, watch, done), name="heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        _close(incarnation)


def _close(incarnation: Incarnation) -> None:
    try:
        incarnation.close()
    except (StorageUnavailable, StorageMisconfigured) as error:
        # The work is done, and a lease that nobody renews runs out by itself.
        log_event(_log, logging.WARNING, "lease.not_closed", reason=error)


def _beat(incarnation: Incarnation, every: timedelta, watch: DatabaseWatch, done: threading.Event) -> None:
    while not done.wait(every.total_seconds()):
        begun = watch.begins()
        try:
            incarnation.renew()
        except (StorageUnavailable, StorageMisconfigured) as error:
            watch.failed(incarnation, error, during="heartbeat", begun=begun)
        else:
            watch.worked(incarnation)
