"""Keeps a bug in the work for one run or one provider from stopping the work for the others."""

import logging
from collections.abc import Callable
from typing import TypeVar

from wes_daemon.application.ports.errors import (
    ConcurrentUpdate,
    LeaseLost,
    ProviderError,
    StorageMisconfigured,
    StorageRefused,
    StorageUnavailable,
)

_log = logging.getLogger(__name__)

T = TypeVar("T")


def guarded(work: Callable[[], T], *, otherwise: Callable[[Exception], T], during: str, of: str) -> T:
    """Return what `work` returns; log an unexpected error with its traceback and return `otherwise(error)`.

    Errors that the ports document are not bugs and are raised again.
    """
    try:
        return work()
    except (ProviderError, LeaseLost, StorageUnavailable, StorageMisconfigured, StorageRefused, ConcurrentUpdate):
        raise
    except Exception as error:  # noqa: BLE001 - a bug must not affect other runs; `Daemon` has the other such handler
        _log.exception("bug during=%s of=%s", during, of)
        return otherwise(error)
