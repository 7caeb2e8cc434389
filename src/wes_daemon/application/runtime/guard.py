"""So that no run and no provider can stop the work for the others."""

import logging
from collections.abc import Callable
from typing import TypeVar

from wes_daemon.application.ports.errors import (
    ConcurrentUpdate,
    LeaseLost,
    ProviderError,
    StorageMisconfigured,
    StorageUnavailable,
)

_log = logging.getLogger(__name__)

T = TypeVar("T")


def guarded(work: Callable[[], T], *, otherwise: Callable[[Exception], T], during: str, of: str) -> T:
    """Do one run's or one provider's work; what nobody foresaw is logged whole and answered by `otherwise`.

    What the ports promise to raise is no bug and goes on to whoever expects it.
    """
    try:
        return work()
    except (ProviderError, LeaseLost, StorageUnavailable, StorageMisconfigured, ConcurrentUpdate):
        raise
    except Exception as error:  # noqa: BLE001 - the guard of the style page: one of the two places
        _log.exception("bug during=%s of=%s", during, of)
        return otherwise(error)
