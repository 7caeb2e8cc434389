"""A lease that lasts as long as a piece of work, for those who run no daemon."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from wes_daemon.application.events import log_event
from wes_daemon.application.incarnation import Incarnation
from wes_daemon.application.ports.errors import StorageUnavailable

_log = logging.getLogger(__name__)


@contextmanager
def kept_alive(incarnation: Incarnation, *, every: timedelta) -> Iterator[None]:
    """Renew the lease in a thread of its own while the block lasts, and end it afterwards."""
    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(incarnation, every, done), name="heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        incarnation.close()


def _beat(incarnation: Incarnation, every: timedelta, done: threading.Event) -> None:
    while not done.wait(every.total_seconds()):
        try:
            incarnation.renew()
        except StorageUnavailable as error:
            log_event(_log, logging.WARNING, "lease.not_renewed", reason=error)
