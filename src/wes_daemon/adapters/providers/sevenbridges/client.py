"""Calls to the Seven Bridges API, and readers for its headers and JSON. Requests and answers are plain objects."""

import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wes_daemon.adapters.json_values import as_object, as_objects, as_text
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.errors import Failure
from wes_daemon.adapters.retry_after import retry_at
from wes_daemon.application.ports.call_gate import Allowance, CallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured

if TYPE_CHECKING:
    from wes_daemon.adapters.providers.sevenbridges.sdk import Sdk

PAGE = 100
"""The service's maximum for the items of one page, and for the ids in one bulk call."""

# The service's window is five minutes long, so a time more than a day ahead is not in the documented unit, seconds.
_PLAUSIBLE = timedelta(days=1)
# Three times the service's window.
_MAX_BLOCK = timedelta(minutes=15)
_EXHAUSTED = "the quota for calls with the Seven Bridges token is exhausted"
# For a 429 without a usable time: short enough to lose little, long enough not to spin.
_DEFAULT_BLOCK = timedelta(seconds=10)
# The clocks of the service and of this process differ, and the service's times are whole seconds.
_CLOCK_MARGIN = timedelta(seconds=1)


class SevenBridgesClient:
    """Calls the API with one credential. Safe to use from several threads.

    Each method asks the call gate first.
    It raises `Failure` if its call fails, and `NotNow` if the call gate refuses the call.
    """

    def __init__(self, config: SevenBridgesConfig, *, clock: Clock, gate: CallGate) -> None:
        self._config = config
        self._clock = clock
        self._gate = gate
        self._sdk: Sdk | None = None
        self._reloads = 0
        self._lock = threading.Lock()

    def get(self, operation: str, path: str, **params: object) -> Mapping[str, object]:
        """Read with a GET."""
        return self._request(operation, "get", path=path, params=params, is_write=False)

    def query(self, operation: str, path: str, body: object) -> Mapping[str, object]:
        """Read with a POST, as the bulk calls do."""
        return self._request(operation, "post", path=path, body=body, is_write=False)

    def post(self, operation: str, path: str, body: object = None, **params: object) -> Mapping[str, object]:
        """Change something at the service."""
        return self._request(operation, "post", path=path, params=params, body=body, is_write=True)

    def delete(self, operation: str, path: str) -> None:
        """Delete something at the service."""
        self._request(operation, "delete", path=path, is_write=True)

    def pages(
        self, operation: str, path: str, params: Mapping[str, object], *, overlap: int = 0
    ) -> Iterator[Mapping[str, object]]:
        """Yield the items of a listing, page by page.

        Args:
            overlap: items that each page repeats from the page before, so that a deletion between two pages hides
                no item.
        """
        offset = 0
        while True:
            items, has_more = self.page(operation, path, params, offset=offset)
            yield from items
            if not items or not has_more:
                return
            offset += max(len(items) - overlap, 1)

    def page(
        self, operation: str, path: str, params: Mapping[str, object], *, offset: int
    ) -> tuple[Sequence[Mapping[str, object]], bool]:
        """Return the items of one page of a listing, and whether more items follow."""
        page = self.get(operation, path, **params, offset=offset, limit=PAGE)
        return as_objects(page.get("items")), _has_next(page)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            if self._sdk:
                self._sdk.close()
            self._sdk = None

    def _request(
        self,
        operation: str,
        verb: str,
        *,
        path: str,
        params: Mapping[str, object] | None = None,
        body: object = None,
        is_write: bool,
    ) -> Mapping[str, object]:
        self._get_sdk()
        self._gate.acquire(operation)
        given = {name: value for name, value in (params or {}).items() if value is not None}
        sdk, reloads = self._get_sdk(), self._reloads
        try:
            return sdk.request(verb, path, params=given, body=body, is_write=is_write)
        except Failure as failure:
            if failure.status != 401 or self._config.read_token is None:
                raise
            # The service did not process the call. The next one uses the new token, if there is one.
            raise failure.with_note(self._reload_token(reloads)) from None

    def _reload_token(self, reloads: int) -> str:
        """Read the token again, and return what has become of it. One of several refused threads reads it.

        Args:
            reloads: how often the token had been read again when the refused call began.
        """
        with self._lock:
            if self._reloads != reloads or self._config.read_token is None:
                return "the token was read again meanwhile"
            self._reloads += 1
            try:
                config = replace(self._config, token=self._config.read_token())
            except Misconfigured as error:
                return f"the token could not be read again: {error}"
            if config.token == self._config.token:
                return "the token was read again and is the same"
            # Calls of other threads may still use the connections of the former SDK, so these are not closed here.
            self._config, self._sdk = config, None
            return "the token was read again and has changed: the next call uses the new one"

    def _get_sdk(self) -> "Sdk":
        with self._lock:
            if self._sdk is None:
                # The import takes half a second: only processes that use this provider pay for it.
                from wes_daemon.adapters.providers.sevenbridges.sdk import Sdk

                self._sdk = Sdk(self._config, self._report_to_gate)
            return self._sdk

    def _report_to_gate(self, status: int, headers: Mapping[str, str]) -> timedelta | None:
        now = self._clock.now()
        self._gate.observe(allowance(headers))
        block = requested_block(status, headers, now=now)
        if block is None:
            return None
        self._gate.block_until(block.until, reason=block.reason)
        return block.until - now


def allowance(headers: Mapping[str, str]) -> Allowance:
    """Read the rate limit that an answer reports.

    Args:
        headers: of the answer, by name in any case.
    """
    return Allowance(
        limit=_count(headers.get("X-RateLimit-Limit")),
        remaining=_count(headers.get("X-RateLimit-Remaining")),
        resets_at=_reset_time(headers.get("X-RateLimit-Reset")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The time before which an answer forbids further calls, and why."""

    until: datetime
    reason: str


def requested_block(status: int, headers: Mapping[str, str], *, now: datetime) -> Block | None:
    """Return the block that an answer requests; None if it requests none.

    Every answer names the end of the present window, so that time counts only if no call is left in the window, or if
    the answer is a 429 that does not say that calls are left. `Retry-After` counts in refusals only.

    Args:
        headers: of the answer, by name in any case.
    """
    remaining = _count(headers.get("X-RateLimit-Remaining"))
    is_throttled, is_exhausted = status == 429, remaining == 0
    times = [retry_at(headers.get("Retry-After"), now)] if is_throttled or status == 503 else []
    if is_exhausted or (is_throttled and remaining is None):
        times.append(_reset_time(headers.get("X-RateLimit-Reset")))
    until = _latest_plausible(times, now) or (now + _DEFAULT_BLOCK if is_throttled else None)
    if until is None:
        return None
    asked = f"Seven Bridges answered HTTP {status} and asked for no calls"
    return Block(until=until, reason=_EXHAUSTED if is_exhausted else asked)


def as_message(value: object) -> str:
    """Return what an error or a warning says: its message, or else the whole, which is all that the service says."""
    if not value:
        return ""
    return as_text(as_object(value).get("message")).strip() or (value if isinstance(value, str) else json.dumps(value))


def as_integer(value: object) -> int:
    """Return the integer, also from its digits in a text; 0 for any other value."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def as_time(value: object) -> datetime | None:
    """Return the time, aware; None for a value that is not a time. The service's times are UTC, with or without `Z`."""
    try:
        time = datetime.fromisoformat(as_text(value))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _has_next(page: Mapping[str, object]) -> bool:
    return any(as_text(link.get("rel")).lower() == "next" for link in as_objects(page.get("links")))


def _latest_plausible(times: Iterable[datetime | None], now: datetime) -> datetime | None:
    plausible = [time + _CLOCK_MARGIN for time in times if time and now < time <= now + _PLAUSIBLE]
    return min(max(plausible), now + _MAX_BLOCK) if plausible else None


def _count(text: str | None) -> int | None:
    """Some platforms send -1 for "no limit"."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return int(number) if number >= 0 and number.is_integer() else None


def _reset_time(text: str | None) -> datetime | None:
    """The header holds Unix seconds, whole ones or with a fraction."""
    try:
        return datetime.fromtimestamp(float(text or ""), UTC)
    except (ValueError, OverflowError, OSError):
        return None
