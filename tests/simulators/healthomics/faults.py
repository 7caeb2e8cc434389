"""What can go wrong between a client and the service, by operation."""

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto


class Kind(Enum):
    """How a request suffers."""

    CUT = auto()
    """The connection is closed without an answer."""
    HANG = auto()
    """No answer comes for a while, then the connection is closed."""
    SLOW = auto()
    """The right answer comes late."""
    ANSWER = auto()
    """Another answer comes."""
    GARBLED = auto()
    """Half of the right answer comes."""
    LATE = auto()
    """The connection is closed at once, and the service acts a while later on what it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One request's bad luck.

    Attributes:
        after_acting: whether the service does its work all the same.
    """

    kind: Kind
    after_acting: bool = False
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0
    retry_after: timedelta | None = None


def cut(*, after_acting: bool) -> Fault:
    """The connection is closed."""
    return Fault(kind=Kind.CUT, after_acting=after_acting)


def hang(seconds: float, *, after_acting: bool) -> Fault:
    """Nothing comes for so long."""
    return Fault(kind=Kind.HANG, after_acting=after_acting, seconds=seconds)


def late(seconds: float) -> Fault:
    """The connection is closed, and so long after that the service acts all the same."""
    return Fault(kind=Kind.LATE, seconds=seconds)


def slow(seconds: float) -> Fault:
    """The answer comes so late."""
    return Fault(kind=Kind.SLOW, after_acting=True, seconds=seconds)


def garbled() -> Fault:
    """Half of the answer comes, and looks whole."""
    return Fault(kind=Kind.GARBLED, after_acting=True)


def error(status: int, code: str, message: str = "simulated", *, after_acting: bool = False) -> Fault:
    """An error of the service."""
    return Fault(
        kind=Kind.ANSWER,
        after_acting=after_acting,
        status=status,
        headers={"x-amzn-ErrorType": code},
        body=f'{{"message": "{message}"}}'.encode(),
    )


def answer_with(body: Mapping[str, object] | bytes, *, status: int = 200, after_acting: bool = False) -> Fault:
    """An answer of the test's own."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Fault(kind=Kind.ANSWER, after_acting=after_acting, status=status, body=content)


def throttled(retry_after: timedelta | None = None, *, as_date: str | None = None) -> Fault:
    """429, with the time that the service names, if any; `as_date` is how to spell it other than in seconds."""
    named = {} if retry_after is None else {"Retry-After": as_date or f"{retry_after.total_seconds():g}"}
    return Fault(
        kind=Kind.ANSWER,
        status=429,
        headers={"x-amzn-ErrorType": "ThrottlingException", **named},
        body=b'{"message": "Rate exceeded"}',
        retry_after=retry_after,
    )


def internal(*, after_acting: bool = False) -> Fault:
    """500."""
    return error(500, "InternalServerException", after_acting=after_acting)


def quota() -> Fault:
    """402."""
    return error(402, "ServiceQuotaExceededException", "Maximum number of active runs")


def bad_gateway(*, after_acting: bool = False) -> Fault:
    """502 with a page of a balancer's."""
    page = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    return Fault(
        kind=Kind.ANSWER, after_acting=after_acting, status=502, headers={"Content-Type": "text/html"}, body=page
    )


def unavailable(*, after_acting: bool = False) -> Fault:
    """503 without a body."""
    return Fault(kind=Kind.ANSWER, after_acting=after_acting, status=503)


class Faults:
    """Which request suffers what: those that are put in line for an operation first, then what `weather` says.

    Attributes:
        weather: asked for every request that no fault is in line for.
    """

    def __init__(self) -> None:
        self.weather: Callable[[str], Fault | None] = lambda _: None
        self._queues: dict[str, deque[Fault | None]] = defaultdict(deque)
        self._lock = threading.Lock()

    def put(self, operation: str, *faults: Fault | None) -> None:
        """Let the next requests of an operation suffer these, one each; None lets one pass."""
        with self._lock:
            self._queues[operation].extend(faults)

    def take(self, operation: str) -> Fault | None:
        """What this request suffers."""
        with self._lock:
            queue = self._queues[operation]
            return queue.popleft() if queue else self.weather(operation)
