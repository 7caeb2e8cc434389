"""Lists as the service gives them: filtered, ordered, in pages, with the fields that were asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from tests.simulators.sevenbridges.errors import bad_request

Params = Mapping[str, Sequence[str]]
Record = Mapping[str, Any]

_LARGEST_PAGE = 100
_DEFAULT_PAGE = 50


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, and what goes into the headers."""

    body: object
    total: int | None = None
    status: int = 200


def only(params: Params, name: str) -> str | None:
    """A parameter that may stand there once."""
    values = params.get(name, [])
    return values[-1] if values else None


def page(base: str, path: str, params: Params, found: Sequence[Record], default_fields: Sequence[str]) -> Answer:
    """One page, in the four parts that the SDK needs."""
    offset, limit = _number(params, "offset", 0), _number(params, "limit", _DEFAULT_PAGE)
    if not 1 <= limit <= _LARGEST_PAGE or offset < 0:
        raise bad_request(f"limit must be between 1 and {_LARGEST_PAGE}")
    items = [shown(record, params, default_fields) for record in found[offset : offset + limit]]
    links = [_link(base, path, params, offset + limit, limit, "next")] if offset + limit < len(found) else []
    if offset:
        links.append(_link(base, path, params, max(offset - limit, 0), limit, "prev"))
    return Answer({"href": f"{base}{path}", "items": items, "links": links}, total=len(found))


def shown(record: Record, params: Params, default_fields: Sequence[str] = ()) -> Record:
    """A record with the fields that were asked for; all of them where nothing else is said of a single one."""
    asked = only(params, "fields")
    public = {name: value for name, value in record.items() if not name.startswith("_")}
    fields = asked.split(",") if asked else list(default_fields) or list(public)
    return public if asked == "_all" else {name: public[name] for name in fields if name in public}


def in_time(record: Record, params: Params, field: str, prefix: str) -> bool:
    """Whether a record's time lies within `prefix_from` and `prefix_to`."""
    since, until = only(params, f"{prefix}_from"), only(params, f"{prefix}_to")
    at = _moment(record[field]) if record[field] else None
    if at is None:
        return not (since or until)
    return not (since and at < _moment(since)) and not (until and at > _moment(until))


def ordered(found: Sequence[Record], params: Params, allowed: Sequence[str]) -> Sequence[Record]:
    """In the order that was asked for; equal ones as they were made."""
    by, order = only(params, "order_by") or allowed[0], only(params, "order") or "asc"
    if by not in allowed or order not in ("asc", "desc"):
        raise bad_request(f"cannot order by {by} {order}")
    key: Callable[[Record], str] = lambda record: str(record[by] or "")  # noqa: E731 - a key, typed
    return sorted(found, key=key, reverse=order == "desc")


def _link(base: str, path: str, params: Params, offset: int, limit: int, rel: str) -> Mapping[str, object]:
    query = {**params, "offset": [str(offset)], "limit": [str(limit)]}
    return {"href": f"{base}{path}?{urlencode(query, doseq=True)}", "rel": rel, "method": "GET"}


def _number(params: Params, name: str, default: int) -> int:
    text = only(params, name)
    if text is None:
        return default
    if not text.lstrip("-").isdigit():
        raise bad_request(f"{name} must be a number")
    return int(text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(f"{text!r} is no time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
