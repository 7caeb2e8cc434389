"""The values of a request as JSON: each is kept exactly, or refused with its place.

A value is kept exactly if every program that reads the row finds the value that was given. Python's own conversions
are not used: `json.dumps` writes NaN, turns names that are numbers into texts, and fails for the numbers of numpy.

Source: RFC 8259, sections 4 (names), 6 (numbers) and 8 (texts); PostgreSQL's manual, section "JSON Types" (NUL).
"""

import math
import operator
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Integral
from os import PathLike
from typing import Any, NoReturn

from wes_daemon.domain.errors import InvalidRequest
from wes_daemon.domain.runs import Unreadable

MAX_DEPTH = 100
"""How deep lists and objects may be nested. Readers give up at different depths; databases and providers keep 100."""

_MAX_BITS = 63
_SCALAR_KINDS = frozenset("biuf")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_BYTES = range(0x80, 0x100)
_BYTES = (bytes, bytearray, memoryview)

# By class: what to pass instead.
_ADVICE: Sequence[tuple[type | tuple[type, ...], str]] = (
    (_BYTES, "pass a text, such as value.decode()"),
    (Set, "a set has no order: pass a list, such as sorted(value)"),
    ((date, time), "pass a text, such as value.isoformat()"),
    (timedelta, "pass a number, such as value.total_seconds()"),
    (PathLike, 'pass a text, such as str(value), or for a file {"class": "File", "location": value.as_uri()}'),
    (Enum, "pass value.value"),
)
_JSON = "pass a text, a number, True, False, None, a list or a mapping"


def exact_object(place: str, value: object) -> object:
    """Return the value of a column that holds a JSON object, made of JSON's own types.

    A value that is no object is returned as it is: `WorkflowRequest` says what is wrong with it.

    Raises:
        InvalidRequest: a value within it cannot be kept exactly; the message names its place, and never the value.
    """
    return exact_value(place, value) if isinstance(value, Mapping) else value


def exact_value(place: str, value: object) -> object:
    """Return the value made of JSON's own types: dict, list, str, int, float, bool and None.

    Args:
        place: the value's name in messages, such as `workflow_params`.

    Raises:
        InvalidRequest: it cannot be kept exactly; the message names the place, such as `workflow_params.reads[2].path`.
    """
    return _exact(place, value, within=())


def exact_text(place: str, value: object) -> str:
    """Return the text; raises `InvalidRequest` if it is none, or has characters that a database cannot hold."""
    if not isinstance(value, str):
        _refuse(place, f"is {_kind(value)}: pass a text")
    if "\0" in value:
        _refuse(place, "contains the character NUL, which databases and command lines cannot hold: leave it out")
    if not value.isascii() and (found := _SURROGATE.search(value)):
        byte = ord(found[0]) - 0xDC00
        # PEP 383: Python reads a byte of an argument or a file name that is not UTF-8 in this way.
        origin = f"; it stands for the byte 0x{byte:02X} of a text that is not UTF-8" if byte in _ESCAPED_BYTES else ""
        _refuse(
            place,
            f"contains half of a surrogate pair, which is no character{origin}: decode the text as UTF-8 or UTF-16",
        )
    # A plain `str`, also of an enumeration's member.
    return str.__str__(value)


def _exact(place: str, value: object, *, within: tuple[int, ...]) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return exact_text(place, value)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, _BYTES):
        return _exact_container(place, value, within=within)
    return _exact_number(place, value)


def _exact_container(
    place: str, value: Mapping[object, object] | Sequence[object], *, within: tuple[int, ...]
) -> object:
    if id(value) in within:
        _refuse(place, "contains itself: JSON cannot express that")
    if len(within) >= MAX_DEPTH:
        outermost = re.split(r"[.\[]", place, maxsplit=1)[0]
        _refuse(outermost, f"is nested deeper than {MAX_DEPTH} levels, which not every reader of JSON can read")
    inner = (*within, id(value))
    if isinstance(value, Mapping):
        return {
            _exact_name(place, name): _exact(_member(place, name), item, within=inner) for name, item in value.items()
        }
    return [_exact(f"{place}[{number}]", item, within=inner) for number, item in enumerate(value)]


def _exact_name(place: str, name: object) -> str:
    if not isinstance(name, str):
        shown = f" {name!r}" if isinstance(name, int | float | None) else ""
        _refuse(place, f"has the name{shown} of the type {type(name).__name__}: names are texts in JSON")
    return exact_text(_member(place, name), name)


def _member(place: str, name: object) -> str:
    text = str(name)
    return f"{place}.{text}" if _IDENTIFIER.fullmatch(text) else f"{place}[{text!r}]"


def _exact_number(place: str, value: object) -> object:
    number = _scalar(value)
    if isinstance(number, bool):
        return number
    if isinstance(number, Integral):
        return _exact_integer(place, operator.index(number))
    if isinstance(number, float):
        return _finite(place, float(number))
    if isinstance(number, Decimal):
        return _exact_decimal(place, number)
    return _refuse(place, f"is {_kind(value)}, which JSON cannot express: {_advice(value)}")


def _scalar(value: object) -> object:
    """Return the Python number of a scalar of numpy or of a library like it, or else the value itself.

    The numbers of numpy are registered in `numbers`, its truth values are not; `dtype.kind` names them all.
    """
    if getattr(getattr(value, "dtype", None), "kind", None) not in _SCALAR_KINDS or getattr(value, "shape", None) != ():
        return value
    item: Any = getattr(value, "item", None)
    return item() if callable(item) else value


def _exact_integer(place: str, value: int) -> int:
    if value.bit_length() > _MAX_BITS and value != -(2**_MAX_BITS):
        _refuse(place, "is an integer of more than 64 bits, whose last digits readers of JSON lose: pass it as a text")
    return value


def _finite(place: str, value: float) -> float:
    if not math.isfinite(value):
        _refuse(place, "is not a finite number, and JSON has no NaN and no Infinity: pass None or a text")
    return value


def _exact_decimal(place: str, value: Decimal) -> int | float:
    """Return the number whose shortest decimal text has this value: `Decimal("0.1")` becomes 0.1."""
    if not value.is_finite():
        _finite(place, math.nan)
    if -(2**_MAX_BITS) <= value < 2**_MAX_BITS and value == value.to_integral_value():
        return int(value)
    number = float(value)
    if not math.isfinite(number) or Decimal(repr(number)) != value:
        _refuse(place, "has more digits than a number in JSON keeps (about 17): round it, or pass it as a text")
    return number


def _advice(value: object) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        return "pass a mapping, such as dataclasses.asdict(value)"
    # Also the scalars of numpy have `tolist`, but no list comes of it.
    if getattr(value, "shape", ()) and callable(getattr(value, "tolist", None)):
        return "pass a list, such as value.tolist()"
    return next((advice for kinds, advice in _ADVICE if isinstance(value, kinds)), _JSON)


def _kind(value: object) -> str:
    if isinstance(value, Unreadable):
        return "text that is not JSON"
    name = "None" if value is None else type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


def _refuse(place: str, problem: str) -> NoReturn:
    raise InvalidRequest(f"{place} {problem}")
