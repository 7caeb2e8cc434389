"""Pages and the opaque tokens between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.simulators.healthomics.workflows import ServiceError

_DEFAULT_SIZE = 10


@dataclass(frozen=True, slots=True)
class _Rest:
    """What a token stands for."""

    operation: str
    ids: Sequence[str]
    begin: int


class Pager:
    """Cuts lists into pages."""

    def __init__(self) -> None:
        self._rests: dict[str, _Rest] = {}

    def page(self, operation: str, ids: Sequence[str], request: Mapping[str, Any]) -> tuple[Sequence[str], str | None]:
        """The page that a request asks for, and the token of the next one."""
        token, begin = request.get("startingToken"), 0
        if token is not None:
            rest = self._rests.get(token)
            if rest is None or rest.operation != operation:
                raise ServiceError("ValidationException", "Invalid startingToken")
            ids, begin = rest.ids, rest.begin
        end = begin + request.get("maxResults", _DEFAULT_SIZE)
        if len(ids) <= end:
            return ids[begin:], None
        following = uuid4().hex
        self._rests[following] = _Rest(operation, ids, end)
        return ids[begin:end], following
