"""The types of settings: each reads the text of an environment variable into the value that a package uses."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, GetCoreSchemaHandler, InstanceOf, SecretStr
from pydantic_core import CoreSchema, core_schema
from pydantic_settings import NoDecode

from wes_daemon.plugins.rates import Rate, read_window

_DAY = 86_400
_QUOTATION_MARKS = ("''", '""', "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "``")
_UNITS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3_600, "d": _DAY}
_WITH_UNIT = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)", re.I)
_OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondsBetween:
    """Reads a number of seconds within bounds as a `timedelta`.

    Attributes:
        above: the number must be greater than this.
        at_least: the number must be at least this.
        at_most: the number must be at most this.
    """

    above: float | None = None
    at_least: float | None = None
    at_most: float

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        number = core_schema.float_schema(gt=self.above, ge=self.at_least, le=self.at_most, allow_inf_nan=False)
        return core_schema.no_info_before_validator_function(
            _seconds_of,
            core_schema.no_info_after_validator_function(_timedelta_of, number),
            serialization=core_schema.plain_serializer_function_ser_schema(_seconds_of),
        )


def _seconds_of(value: object) -> object:
    if isinstance(value, str) and (seconds := seconds_with_unit(value)) is not None:
        raise ValueError(f"{value!r} has a unit: write the number of seconds, {seconds:g}")
    return value.total_seconds() if isinstance(value, timedelta) else value


def seconds_with_unit(text: str) -> float | None:
    """Return the seconds that a text such as `5m` or `2 hours` means; None for a text without a unit."""
    match = _WITH_UNIT.fullmatch(text.strip())
    return float(match["number"]) * _UNITS[match["unit"][0].lower()] if match else None


def _timedelta_of(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def without_quotation_marks(value: object) -> object:
    """Return the value; raises `ValueError` for a text in quotation marks, which a shell would have removed."""
    if isinstance(value, str) and len(value) > 1 and value[0] + value[-1] in _QUOTATION_MARKS:
        raise ValueError("the quotation marks are part of the value here: remove them")
    return value


def _absolute_path(value: object) -> object:
    try:
        return Path(value).expanduser().absolute() if isinstance(value, str) else value
    except RuntimeError as error:
        raise ValueError(f"{value!r} names a home that does not exist") from error


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that holds a secret, which may be replaced while the daemon runs."""

    path: Path

    def read(self) -> str:
        """Return the text of the file without the newline that mounted secrets often end with.

        Raises:
            ValueError: the file cannot be read, or is empty.
        """
        try:
            text = self.path.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise ValueError(f"the file cannot be read ({type(error).__name__})") from None
        if not text:
            raise ValueError("the file is empty")
        return text

    def read_if_any(self) -> str:
        """As `read`; an empty text instead of an error."""
        with suppress(ValueError):
            return self.read()
        return ""


def _secret_file(path: object) -> object:
    file = SecretFile(Path(str(path)))
    _token(file.read())
    return file


def _stripped(value: object) -> object:
    """Return the text without the spaces and newlines around it; None if nothing is left."""
    return value.strip() or None if isinstance(value, str) else value


def _token(value: object) -> object:
    """Return the text without the spaces and newlines around it; refuse those within it."""
    text = _stripped(value)
    if isinstance(text, str) and not (text.isprintable() and text.split() == [text]):
        raise ValueError("it contains a blank or a line break: paste it again, in one line")
    return text


def _window_rate(value: object) -> object:
    if not isinstance(value, str):
        return value
    return None if value == _OFF else read_window(value)


LocalPath = Annotated[Path, BeforeValidator(_absolute_path)]
"""An absolute path; `~` and relative paths are resolved."""

SecretText = Annotated[SecretStr | None, BeforeValidator(_stripped)]
"""A secret that may contain blanks, such as a password."""

Token = Annotated[SecretStr | None, BeforeValidator(_token)]
"""A secret without blanks."""

SecretInFile = Annotated[InstanceOf[SecretFile] | None, BeforeValidator(_secret_file)]
"""The path of a file that holds a secret without blanks."""

Seconds = Annotated[timedelta, SecondsBetween(above=0, at_most=_DAY)]
MonthInSeconds = Annotated[timedelta, SecondsBetween(above=0, at_most=30 * _DAY)]
YearInSeconds = Annotated[timedelta, SecondsBetween(above=0, at_most=365 * _DAY)]

# `NoDecode`: without it pydantic-settings reads the text of a mapping or a dataclass as JSON.
WindowRate = Annotated[Rate | None, NoDecode, BeforeValidator(_window_rate)]
"""`1000/300`: calls per seconds; None for `off`."""

__all__ = [
    "LocalPath",
    "MonthInSeconds",
    "Seconds",
    "SecondsBetween",
    "SecretFile",
    "SecretInFile",
    "SecretText",
    "Token",
    "WindowRate",
    "YearInSeconds",
]
