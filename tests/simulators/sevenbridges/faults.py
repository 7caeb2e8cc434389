"""What may go wrong between a client and the service, route by route."""

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


class Reply(StrEnum):
    """How a broken request is answered."""

    CUT = "cut"
    """The connection is closed without a word."""

    SLOW = "slow"
    """The answer comes after the client's patience."""

    LATE = "late"
    """The connection is closed at once, and the service acts a while later on what it was asked for."""

    CANNED = "canned"
    """The answer is that of the fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        acts: whether the service has done what was asked for all the same.
        names_time: whether the answer names a time before which nobody should call.
        location: where the answer sends the client.
    """

    reply: Reply
    acts: bool = False
    status: int = 200
    content_type: str = "application/json"
    body: str = ""
    names_time: bool = False
    location: str = ""


def _error(status: int, code: int, message: str) -> str:
    return json.dumps({"status": status, "code": code, "message": message, "more_info": ""})


def refusing(status: int, code: int | None, message: str, *, acts: bool = False) -> Fault:
    """An error answer; without a code it is one of a proxy or a load balancer."""
    body = "<html></html>" if code is None else _error(status, code, message)
    return Fault(reply=Reply.CANNED, status=status, body=body, acts=acts)


CUT_BEFORE = Fault(reply=Reply.CUT)
CUT_AFTER = Fault(reply=Reply.CUT, acts=True)
SLOW = Fault(reply=Reply.SLOW, acts=True)
LATE = Fault(reply=Reply.LATE)
TOO_MANY = Fault(reply=Reply.CANNED, status=429, body=_error(429, 1000, "Too many requests"), names_time=True)
ERROR = Fault(reply=Reply.CANNED, status=503, body=_error(503, 90004, "Unexpected error"))
ERROR_AFTER = Fault(reply=Reply.CANNED, status=503, body=_error(503, 90004, "Unexpected error"), acts=True)
BAD_GATEWAY = Fault(reply=Reply.CANNED, status=502, content_type="text/html", body=PAGE)
GATEWAY_TIMEOUT_AFTER = Fault(reply=Reply.CANNED, status=504, content_type="text/html", body=PAGE, acts=True)
MAINTENANCE = Fault(reply=Reply.CANNED, status=503, body=_error(503, 0, "Maintenance"))
UNAVAILABLE = Fault(reply=Reply.CANNED, status=503, body=_error(503, 7000, "Task service unavailable"))
MALFORMED_AFTER = Fault(reply=Reply.CANNED, body='{"id": "3f2a', acts=True)
HTML_AFTER = Fault(reply=Reply.CANNED, content_type="text/html", body=PAGE, acts=True)


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
