"""Calls to the Seven Bridges API; requests and answers are plain objects."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.rate_headers import allowance, held_until
from wes_daemon.adapters.providers.sevenbridges.reading import as_objects, as_text
from wes_daemon.application.ports.call_gate import CallGate
from wes_daemon.application.ports.environment import Clock

if TYPE_CHECKING:
    from wes_daemon.adapters.providers.sevenbridges.sdk import Sdk

PAGE = 100
"""The most that the service puts on one page, and takes in one bulk call."""


class SevenBridgesClient:
    """The API's verbs for one credential; safe under threads.

    Every call passes the call gate first. A call raises `Failure`, or `NotNow` where the gate does not permit it.
    """

    def __init__(
        self,
        config: SevenBridgesConfig,
        *,
        clock: Clock,
        gate: CallGate,
    ) -> None:
        self._config = config
        self._clock = clock
        self._gate = gate
        self._sdk: Sdk | None = None
        self._lock = threading.Lock()

    def get(self, operation: str, path: str, **params: object) -> Mapping[str, object]:
        """Read."""
        return self._request(operation, "get", path, params, acts=False)

    def ask(self, operation: str, path: str, body: object) -> Mapping[str, object]:
        """Read by a POST, as the bulk calls do."""
        return self._request(operation, "post", path, {}, body, acts=False)

    def post(self, operation: str, path: str, body: object = None, **params: object) -> Mapping[str, object]:
        """Let the service act."""
        return self._request(operation, "post", path, params, body, acts=True)

    def delete(self, operation: str, path: str) -> None:
        """Remove."""
        self._request(operation, "delete", path, {}, acts=True)

    def pages(
        self, operation: str, path: str, params: Mapping[str, object], *, overlap: int = 0
    ) -> Iterator[Mapping[str, object]]:
        """The items of a listing, page by page.

        Args:
            overlap: items that each page repeats of the one before, so that what is removed meanwhile hides nothing.
        """
        offset = 0
        while True:
            items, there_are_more = self.page(operation, path, params, offset=offset)
            yield from items
            if not items or not there_are_more:
                return
            offset += max(len(items) - overlap, 1)

    def page(
        self, operation: str, path: str, params: Mapping[str, object], *, offset: int
    ) -> tuple[Sequence[Mapping[str, object]], bool]:
        """The items of one page of a listing, and whether there are more behind them."""
        page = self.get(operation, path, **params, offset=offset, limit=PAGE)
        return as_objects(page.get("items")), _has_next(page)

    def close(self) -> None:
        """Give the connections back; the next call makes new ones."""
        with self._lock:
            if self._sdk:
                self._sdk.close()
            self._sdk = None

    def _request(
        self, operation: str, verb: str, path: str, params: Mapping[str, object], body: object = None, *, acts: bool
    ) -> Mapping[str, object]:
        sdk = self._made_sdk()
        self._gate.acquire(operation)
        given = {name: value for name, value in params.items() if value is not None}
        return sdk.request(verb, path, params=given, body=body, acts=acts)

    def _made_sdk(self) -> "Sdk":
        with self._lock:
            if self._sdk is None:
                # Half a second that only those pay who use this provider.
                from wes_daemon.adapters.providers.sevenbridges.sdk import Sdk

                self._sdk = Sdk(self._config, self._inspect)
            return self._sdk

    def _inspect(self, status: int, headers: Mapping[str, str]) -> timedelta | None:
        now = self._clock.now()
        self._gate.observe(allowance(headers))
        until = held_until(status, headers, now)
        if until is None:
            return None
        self._gate.block_until(until)
        return until - now


def _has_next(page: Mapping[str, object]) -> bool:
    return any(as_text(link.get("rel")).lower() == "next" for link in as_objects(page.get("links")))
