"""The settings of the providers: read from the environment for each kind, and from DAEMON_PROVIDERS_FILE by name."""

import difflib
import os
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from wes_daemon.bootstrap.env_file import ENCODING, ENV_FILE
from wes_daemon.bootstrap.plug_ins import InstalledPlugin, disabled, installed_plugins
from wes_daemon.bootstrap.setting_problems import ConfigurationError, message_of
from wes_daemon.domain.runs import ProviderType
from wes_daemon.plugins import Configured, Missing, ProviderPlugin, ProviderSettings
from wes_daemon.plugins.setting_types import SecretFile

ENVIRONMENT = "environment"

_KIND = "kind"
_MAX_CONCURRENT = "max_concurrent"
_FILE = "_FILE"
_WORDS_OF_SETTINGS = ("none", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderInstance:
    """One provider of this process: a kind of provider with its settings, under the name that runs use.

    Attributes:
        installed: the plug-in of its kind; None if that is not installed.
        settings: an object of the plug-in's settings; None without a plug-in that can be used.
        state: whether the settings suffice; None without a plug-in that can be used.
        source: `environment`, or the path of the file that has its settings.
        max_concurrent: how many of its runs may be active at once; None for no limit of its own.
    """

    name: ProviderType
    kind: ProviderType
    installed: InstalledPlugin | None
    settings: ProviderSettings | None = None
    state: Configured | Missing | None = None
    source: str = ENVIRONMENT
    max_concurrent: int | None = None

    @property
    def plugin(self) -> ProviderPlugin[Any] | None:
        """The plug-in of its kind; None if it is not installed, or cannot be used."""
        return self.installed.plugin if self.installed else None

    @property
    def is_enabled(self) -> bool:
        """Whether this process serves it."""
        return isinstance(self.state, Configured)

    @property
    def target(self) -> str:
        """Where its runs go, without secrets; empty if it is not enabled."""
        return self.state.target if isinstance(self.state, Configured) else ""

    @property
    def needs_attention(self) -> bool:
        """Whether it is not enabled although it seems to be meant to be: it is broken, or only half set up."""
        is_unused = isinstance(self.state, Missing) and not self.state.is_partial and self.source == ENVIRONMENT
        return not (self.is_enabled or is_unused)

    @property
    def problem(self) -> str:
        """What the provider lacks, as a sentence; empty if it is enabled."""
        if self.installed is None:
            return f"no plug-in for its kind {self.kind} is installed; {_installed_kinds(self.kind)}"
        if self.installed.problem:
            return self.installed.problem
        return str(self.state) if isinstance(self.state, Missing) else ""


def read_providers(arguments: Mapping[str, object], file: Path | None) -> Mapping[ProviderType, ProviderInstance]:
    """Read the settings of all installed providers, and of those that the file names.

    Args:
        arguments: values by the names of the variables, which override the environment.
        file: the value of DAEMON_PROVIDERS_FILE.

    Raises:
        ConfigurationError: a value is wrong, or the file; the message names every wrong setting.
    """
    values: dict[str, object] = {**_given(dotenv_values(ENV_FILE, encoding=ENCODING)), **_given(os.environ)}
    values |= {name: value for name, value in arguments.items() if value != ""}
    problems: list[str] = []
    instances: dict[ProviderType, ProviderInstance] = {}
    tables = _read_file(file) if file else {}
    for kind, installed in installed_plugins().items():
        if kind in tables:
            continue
        instance = ProviderInstance(name=kind, kind=kind, installed=installed)
        try:
            instances[kind] = _configured(instance, values)
        except ValidationError as error:
            problems += [message_of(detail, _fields(installed)) for detail in error.errors()]
    for name, table in tables.items():
        try:
            instances[name] = _configured(*_instance(name, table, source=str(file)))
        except ValidationError as error:
            fields = _fields(installed_plugins()[ProviderType(str(table[_KIND]))])
            problems += [f"{file}: [{name}] {message_of(detail, fields)}" for detail in error.errors()]
        except ConfigurationError as error:
            problems.append(f"{file}: [{name}] {error}")
    if problems:
        raise ConfigurationError("\n".join(problems))
    return instances


def fields_of_providers() -> Iterator[tuple[ProviderType, FieldInfo]]:
    """Yield each setting of each installed kind of provider, in the order of the documentation."""
    for kind, installed in installed_plugins().items():
        yield from ((kind, field) for field in _fields(installed).values())


def secrets_of(instances: Iterable[ProviderInstance]) -> frozenset[str]:
    """Return the texts that must not appear in a log or an error message."""
    usable = [each for each in instances if each.plugin and each.settings]
    return frozenset(secret for each in usable for secret in each.plugin.secrets(each.settings))  # type: ignore[union-attr]


def _fields(installed: InstalledPlugin) -> Mapping[str, FieldInfo]:
    """Return the settings of a kind by the names of their variables; empty if its plug-in is broken."""
    fields = installed.plugin.settings.model_fields.values() if installed.plugin else ()
    return {str(field.validation_alias): field for field in fields}


def _given(variables: Mapping[str, str | None]) -> Mapping[str, str]:
    """Return the variables that are not empty, in upper case: the case of names does not matter."""
    return {name.upper(): value for name, value in variables.items() if value}


def _configured(instance: ProviderInstance, values: Mapping[str, object]) -> ProviderInstance:
    """Add the settings and whether they suffice; raises `ValidationError` for a wrong value."""
    installed, plugin = instance.installed, instance.plugin
    if installed is None or plugin is None:
        return instance
    try:
        settings = plugin.settings.model_validate(dict(values))
        state = plugin.is_configured(settings)
        _ = plugin.secrets(settings)
    except ValidationError:
        raise
    except Exception as error:  # noqa: BLE001 - a foreign plug-in may raise anything, and disables only itself
        return replace(instance, installed=disabled(installed, error))
    return replace(instance, settings=settings, state=state)


def _read_file(path: Path) -> Mapping[ProviderType, Mapping[str, Any]]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"DAEMON_PROVIDERS_FILE: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"DAEMON_PROVIDERS_FILE: {path} is not a text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"DAEMON_PROVIDERS_FILE: {path} is not TOML: {error}") from None
    tables: dict[ProviderType, Mapping[str, Any]] = {}
    for name, table in content.items():
        if not isinstance(table, Mapping):
            raise ConfigurationError(f"{path}: {name} stands outside a table: write [NAME], the provider's name, first")
        if name in _WORDS_OF_SETTINGS:
            raise ConfigurationError(f"{path}: [{name}]: this word has a meaning in other settings: name it otherwise")
        try:
            tables[ProviderType(name)] = table
        except ValueError as error:
            raise ConfigurationError(f"{path}: [{name}]: {error}") from None
    return tables


def _instance(
    name: ProviderType, table: Mapping[str, Any], *, source: str
) -> tuple[ProviderInstance, Mapping[str, object]]:
    """Return the instance of one table, without settings, and the values of its variables."""
    kind = _kind_of(name, table)
    installed = installed_plugins().get(kind)
    instance = ProviderInstance(
        name=name, kind=kind, installed=installed, source=source, max_concurrent=_limit_of(table)
    )
    variables = {key: value for key, value in table.items() if key not in (_KIND, _MAX_CONCURRENT)}
    if installed is None or installed.plugin is None:
        return instance, {}
    return instance, dict(_values(variables, _fields(installed)))


def _kind_of(name: ProviderType, table: Mapping[str, Any]) -> ProviderType:
    kind = table.get(_KIND)
    if not isinstance(kind, str):
        raise ConfigurationError(f'{_KIND} is missing: write {_KIND} = "NAME"; {_installed_kinds(name)}')
    try:
        kind = ProviderType(kind)
    except ValueError as error:
        raise ConfigurationError(f"{_KIND}: {error}; {_installed_kinds(name)}") from None
    if name in installed_plugins() and kind != name:
        raise ConfigurationError(f"{name} is itself a kind: give the provider of the kind {kind} another name")
    return kind


def _limit_of(table: Mapping[str, Any]) -> int | None:
    limit = table.get(_MAX_CONCURRENT)
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0):
        return limit
    raise ConfigurationError(f"{_MAX_CONCURRENT}: write a whole number of runs")


def _values(variables: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> Iterator[tuple[str, object]]:
    """Yield the values by the names of the settings; the value of a secret is read from the file that is named."""
    for name, value in variables.items():
        secret = name.removesuffix(_FILE)
        if name in fields:
            if _is_secret(fields[name]):
                raise ConfigurationError(f"{name}: a secret does not belong here: name its file by {name}{_FILE}")
            # As in the environment, an empty text counts as not set.
            yield from ((name, text) for text in [_text(name, value)] if text)
        elif secret in fields and _is_secret(fields[secret]):
            try:
                yield secret, SecretFile(Path(_text(name, value))).read()
            except ValueError as error:
                raise ConfigurationError(f"{name}: {error}") from None
        else:
            raise ConfigurationError(f"{name} is no setting of this kind: {_similar(name, fields)}")


def _text(name: str, value: object) -> str:
    """Return a value of TOML as the text that the variable would have."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigurationError(f"{name}: write a text or a number")


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation) or field.annotation is SecretStr


def _similar(name: str, known: Collection[str]) -> str:
    similar = difflib.get_close_matches(name.upper(), known, n=1)
    return f"did you mean {similar[0]}?" if similar else f"its settings are {', '.join(known)}"


def _installed_kinds(kind: str) -> str:
    kinds: Sequence[str] = list(installed_plugins())
    similar = difflib.get_close_matches(kind, kinds, n=1)
    return f"{f'did you mean {similar[0]}? ' if similar else ''}installed kinds are {', '.join(kinds)}"
