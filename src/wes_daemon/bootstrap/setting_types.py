"""The types of the settings: each reads the text of an environment variable into the value that the package uses."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, InstanceOf
from pydantic_settings import NoDecode

from wes_daemon.domain.runs import RESERVED_TAGS, ProviderType
from wes_daemon.plugins.setting_types import SecondsBetween

_OFF = "off"
_NO_PROVIDER = "none"

KNOWN_ENGINES: Mapping[str, ProviderType | None] = {"arvados": None}
"""Engines of the WES services that this daemon works for, which belong to no provider."""


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _schema_name(value: object) -> object:
    if not isinstance(value, str) or not value:
        return None
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value) or value.startswith("pg_"):
        raise ValueError(
            f"{value!r} is not a name for a schema: use lower-case letters, digits and _, at most 63 of them, "
            "and not pg_ at the beginning"
        )
    return value


def _provider_limits(value: object) -> object:
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",")]
    return dict(_provider_limit(part) for part in parts if part)


def _provider_limit(text: str) -> tuple[ProviderType, int]:
    provider, _, runs = text.partition("=")
    if not runs.strip().isdecimal():
        raise ValueError(f"{text!r} is not a limit: expected provider=runs, such as first=50,second=10")
    return _provider_name(provider), int(runs)


def _provider_name(text: object) -> ProviderType:
    return ProviderType(str(text).strip().lower())


def _engine_providers(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.strip().lower() == _OFF:
        return {_OFF: None}
    parts = [part.strip() for part in value.split(",")]
    return dict(_engine_provider(part) for part in parts if part)


def _engine_provider(text: str) -> tuple[str, ProviderType | None]:
    engine, _, provider = text.partition("=")
    engine, name = engine.strip().lower(), provider.strip().lower()
    if not engine or not engine.isascii() or not name:
        raise ValueError(
            f"{text!r} is not an engine's provider: expected engine=provider, or engine=none where its runs are refused"
        )
    return engine, None if name == _NO_PROVIDER else _provider_name(name)


def is_off(engines: Mapping[str, ProviderType | None]) -> bool:
    """Return whether the value of `DAEMON_ENGINE_PROVIDERS` was `off`."""
    return _OFF in engines


def _tag_name(value: object) -> object:
    if isinstance(value, str) and value in RESERVED_TAGS:
        raise ValueError(f"the daemon writes the tag {value!r} itself: name another tag, such as outputs")
    return value


LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]
ProviderName = Annotated[InstanceOf[ProviderType], BeforeValidator(_provider_name)]
ServiceTables = Annotated[Literal["create", "wait"], BeforeValidator(_lower)]
SchemaName = Annotated[str | None, BeforeValidator(_schema_name)]

LeaseSeconds = Annotated[timedelta, SecondsBetween(at_least=2, at_most=3_600)]

# `NoDecode`: without it pydantic-settings reads the text of a mapping as JSON.
ProviderLimits = Annotated[Mapping[InstanceOf[ProviderType], int], NoDecode, BeforeValidator(_provider_limits)]
"""`first=50,second=10`."""

EngineProvidersByName = Annotated[
    Mapping[str, InstanceOf[ProviderType] | None], NoDecode, BeforeValidator(_engine_providers)
]
"""`ENGINE=PROVIDER,Terra=none`: the providers of workflow engines."""

OutputsTag = Annotated[str | None, BeforeValidator(_tag_name)]
