"""The types of the settings: each reads the text of an environment variable into the value that the package uses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, GetCoreSchemaHandler, InstanceOf, SecretStr
from pydantic_core import CoreSchema, core_schema
from pydantic_settings import NoDecode

from wes_daemon.adapters.providers.healthomics.config import CALLS_PER_SECOND
from wes_daemon.adapters.resilience.rates import Rate, read_rates, read_window
from wes_daemon.domain.runs import RESERVED_TAGS, ProviderType

_DAY = 86_400
_QUOTATION_MARKS = ("''", '""', "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "``")
_UNITS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3_600, "d": _DAY}
_WITH_UNIT = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)", re.I)
_OFF = "off"
_NO_PROVIDER = "none"

# The names of the providers themselves, and an engine of the WES services that this daemon works for.
_KNOWN_ENGINES: Mapping[str, ProviderType | None] = {**{type.value: type for type in ProviderType}, "arvados": None}


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


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _absolute_path(value: object) -> object:
    try:
        return Path(value).expanduser().absolute() if isinstance(value, str) else value
    except RuntimeError as error:
        raise ValueError(f"{value!r} names a home that does not exist") from error


def _schema_name(value: object) -> object:
    if not isinstance(value, str) or not value:
        return None
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value) or value.startswith("pg_"):
        raise ValueError(
            f"{value!r} is not a name for a schema: use lower-case letters, digits and _, at most 63 of them, "
            "and not pg_ at the beginning"
        )
    return value


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that holds a secret, which may be replaced while the daemon runs."""

    path: Path

    def read(self) -> str:
        """Return the text of the file without the newline that mounted secrets often end with.

        Raises:
            ValueError: the file cannot be read.
        """
        try:
            return self.path.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise ValueError(f"the file cannot be read ({type(error).__name__})") from None


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


def _provider_limits(value: object) -> object:
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",")]
    return dict(_provider_limit(part) for part in parts if part)


def _provider_limit(text: str) -> tuple[ProviderType, int]:
    provider, _, runs = text.partition("=")
    name = provider.strip().lower()
    if name not in list(ProviderType) or not runs.strip().isdecimal():
        raise ValueError(f"{text!r} is not a limit: expected provider=runs, such as sevenbridges=50,healthomics=10")
    return ProviderType(name), int(runs)


def _engine_providers(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.strip().lower() == _OFF:
        return {}
    parts = [part.strip() for part in value.split(",")]
    return {**_KNOWN_ENGINES, **dict(_engine_provider(part) for part in parts if part)}


def _engine_provider(text: str) -> tuple[str, ProviderType | None]:
    engine, _, provider = text.partition("=")
    engine, name = engine.strip().lower(), provider.strip().lower()
    if not engine or not engine.isascii() or name not in (*ProviderType, _NO_PROVIDER):
        raise ValueError(
            f"{text!r} is not an engine's provider: expected engine=provider, such as cwltool=local, "
            f"with one of {', '.join(ProviderType)} and {_NO_PROVIDER}"
        )
    return engine, None if name == _NO_PROVIDER else ProviderType(name)


def _tag_name(value: object) -> object:
    if isinstance(value, str) and value in RESERVED_TAGS:
        raise ValueError(f"the daemon writes the tag {value!r} itself: name another tag, such as outputs")
    return value


def _window_rate(value: object) -> object:
    if not isinstance(value, str):
        return value
    return None if value == _OFF else read_window(value)


def _operation_rates(value: object) -> object:
    if not isinstance(value, str):
        return value
    defaults = {operation: Rate(calls=calls) for operation, calls in CALLS_PER_SECOND.items()}
    return {} if value == _OFF else defaults | read_rates(value)


LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]
ProviderName = Annotated[ProviderType, BeforeValidator(_lower)]
ServiceTables = Annotated[Literal["create", "wait"], BeforeValidator(_lower)]
SchemaName = Annotated[str | None, BeforeValidator(_schema_name)]
LocalPath = Annotated[Path, BeforeValidator(_absolute_path)]
SecretText = Annotated[SecretStr | None, BeforeValidator(_stripped)]
Token = Annotated[SecretStr | None, BeforeValidator(_token)]
SecretInFile = Annotated[InstanceOf[SecretFile] | None, BeforeValidator(_secret_file)]

Seconds = Annotated[timedelta, SecondsBetween(above=0, at_most=_DAY)]
LeaseSeconds = Annotated[timedelta, SecondsBetween(at_least=2, at_most=3_600)]
MonthInSeconds = Annotated[timedelta, SecondsBetween(above=0, at_most=30 * _DAY)]
YearInSeconds = Annotated[timedelta, SecondsBetween(above=0, at_most=365 * _DAY)]

# `NoDecode`: without it pydantic-settings reads the text of a mapping or a dataclass as JSON.
ProviderLimits = Annotated[Mapping[ProviderType, int], NoDecode, BeforeValidator(_provider_limits)]
"""`sevenbridges=50,healthomics=10`."""

EngineProvidersByName = Annotated[Mapping[str, ProviderType | None], NoDecode, BeforeValidator(_engine_providers)]
"""`cwltool=local,Terra=none`: the providers of workflow engines; `off`: empty."""

OutputsTag = Annotated[str | None, BeforeValidator(_tag_name)]

WindowRate = Annotated[Rate | None, NoDecode, BeforeValidator(_window_rate)]
"""`1000/300`: calls per seconds; None for `off`."""

OperationRates = Annotated[Mapping[str, Rate], NoDecode, BeforeValidator(_operation_rates)]
"""`StartRun=1,GetRun=10`: calls per second by operation; an operation without a rate has its default; `off`: empty."""

DEFAULT_OPERATION_RATES = ",".join(f"{operation}={calls:g}" for operation, calls in CALLS_PER_SECOND.items())
