"""What may go wrong between a client and the server, operation by operation."""

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


class Reply(StrEnum):
    """How a broken request is answered."""

    CUT = "cut"
    """The connection is closed without a word."""

    MID_ANSWER = "mid answer"
    """The connection is closed in the middle of the answer."""

    HANG = "hang"
    """No answer comes for as long as the server lives."""

    LATE = "late"
    """The connection is closed at once, and the server acts when the test says so."""

    CANNED = "canned"
    """The answer is that of the fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        acts: whether the server has done what was asked for all the same.
    """

    reply: Reply
    acts: bool = False
    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def refusing(status: int, message: str = "no", *, acts: bool = False, **headers: str) -> Fault:
    """An error answer of the API."""
    body = json.dumps({"msg": message, "status_code": status})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(reply=Reply.CANNED, status=status, body=body, acts=acts, headers=named)


def page(status: int, *, acts: bool = False) -> Fault:
    """An answer of a proxy or a load balancer."""
    return Fault(reply=Reply.CANNED, status=status, body=PAGE, acts=acts, headers={"Content-Type": "text/html"})


CUT_BEFORE = Fault(reply=Reply.CUT)
CUT_AFTER = Fault(reply=Reply.CUT, acts=True)
MID_ANSWER = Fault(reply=Reply.MID_ANSWER, acts=True)
HANG_BEFORE = Fault(reply=Reply.HANG)
HANG_AFTER = Fault(reply=Reply.HANG, acts=True)
LATE = Fault(reply=Reply.LATE)
ERROR_BEFORE = refusing(500, "internal error")
ERROR_AFTER = refusing(500, "internal error", acts=True)
BAD_GATEWAY_AFTER = page(502, acts=True)
GATEWAY_TIMEOUT_AFTER = page(504, acts=True)
MALFORMED_AFTER = Fault(reply=Reply.CANNED, body='{"run_id": "3f2a', acts=True)
TOO_MANY = refusing(429, "slow down", Retry_After="3")
OVERLOADED = refusing(503, "overloaded", Retry_After="3")


class Faults:
    """Which fault befalls which request: the next ones of an operation, or whatever a storm blows."""

    def __init__(self) -> None:
        self._next: dict[str, deque[Fault]] = defaultdict(deque)
        self._storm: Callable[[str], Fault | None] = lambda _: None
        self._lock = threading.Lock()

    def add(self, operation: str, *faults: Fault) -> None:
        """Let the next requests of an operation go wrong, one fault each."""
        self._next[operation].extend(faults)

    def storm(self, blow: Callable[[str], Fault | None] | None) -> None:
        """Ask `blow`, with the operation's name, what befalls each request; None ends the storm."""
        self._storm = blow or (lambda _: None)

    def befalling(self, operation: str) -> Fault | None:
        """What befalls this request."""
        with self._lock:
            waiting = self._next[operation]
            return waiting.popleft() if waiting else self._storm(operation)
