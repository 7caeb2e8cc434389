"""The settings: their documented names, defaults and meanings. They are read once, at the start."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from wes_daemon.adapters.persistence.address import read_address
from wes_daemon.bootstrap.env_file import ENCODING, ENV_FILE, problems_in_env_file
from wes_daemon.bootstrap.provider_settings import ProviderInstance, fields_of_providers, read_providers, secrets_of
from wes_daemon.bootstrap.setting_problems import ConfigurationError, advice_on_argument, message_of
from wes_daemon.bootstrap.setting_types import (
    KNOWN_ENGINES,
    EngineProvidersByName,
    LeaseSeconds,
    LogLevel,
    OutputsTag,
    ProviderLimits,
    ProviderName,
    SchemaName,
    ServiceTables,
    is_off,
)
from wes_daemon.domain.runs import DEFAULT_PROVIDER, EngineProviders, ProviderType
from wes_daemon.plugins.setting_types import LocalPath, Seconds, SecretText, YearInSeconds, without_quotation_marks

_PREFIX = "DAEMON_"


class Settings(BaseSettings):
    """The settings: arguments override the environment, which overrides a `.env` file in the working directory.

    The alias of each field is the documented name of its environment variable, and its description is the text of
    the documentation. Defaults are written as in the environment; `validate_default` converts them to their types.
    """

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding=ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    _providers: Mapping[ProviderType, ProviderInstance] = PrivateAttr(default_factory=dict)

    database_uri: SecretText = Field(
        None,
        validation_alias="DATABASE_URI",
        description="The database: postgresql://user:password@host/name or sqlite:////path/to/file.",
    )
    poll_interval: Seconds = Field(
        60,
        validate_default=True,
        validation_alias="DAEMON_POLL_INTERVAL",
        description="Seconds between two queries for queued runs.",
    )
    status_check_interval: Seconds = Field(
        300,
        validate_default=True,
        validation_alias="DAEMON_STATUS_CHECK_INTERVAL",
        description="Longest time in seconds between two status requests for one active run; it is shorter at first.",
    )
    status_check_floor: Seconds = Field(
        15,
        validate_default=True,
        validation_alias="DAEMON_STATUS_CHECK_FLOOR",
        description="Shortest regular time in seconds between two status requests for one active run, "
        "at most the interval; hints and full batches poll a run earlier.",
    )
    max_concurrent_workflows: int = Field(
        10,
        ge=1,
        le=1_000_000,
        validation_alias="DAEMON_MAX_CONCURRENT_WORKFLOWS",
        description="Concurrency limit: runs that may be active at once, over all daemons on the same database.",
    )
    max_concurrent_per_provider: ProviderLimits = Field(
        "",
        validate_default=True,
        validation_alias="DAEMON_MAX_CONCURRENT_PER_PROVIDER",
        description="Further limits for single providers, such as first=50,second=10.",
    )
    fair_share_tag: str | None = Field(
        None,
        validation_alias="DAEMON_FAIR_SHARE_TAG",
        description="The tag, such as project, by which runs share the limits fairly; without it the oldest is next.",
    )
    submit_timeout: YearInSeconds = Field(
        86_400,
        validate_default=True,
        validation_alias="DAEMON_SUBMIT_TIMEOUT",
        description="Seconds for which a submission may fail, or its provider may be misconfigured, before its run "
        "ends SYSTEM_ERROR.",
    )
    submit_attempts: int | None = Field(
        None,
        ge=1,
        validation_alias="DAEMON_SUBMIT_ATTEMPTS",
        description="Failed submissions after which a run ends SYSTEM_ERROR; without it only the timeout counts.",
    )
    max_deleted_at_once: int = Field(
        20,
        ge=0,
        validation_alias="DAEMON_MAX_DELETED_AT_ONCE",
        description="Deleted rows of active runs, found at once, up to which the provider runs are cancelled; "
        "of more, none is cancelled.",
    )
    vanished_after: Seconds = Field(
        3_600,
        validate_default=True,
        validation_alias="DAEMON_VANISHED_AFTER",
        description="Seconds for which a provider must report a run as unknown before it ends SYSTEM_ERROR.",
    )
    providers_file: LocalPath | None = Field(
        None,
        validation_alias="DAEMON_PROVIDERS_FILE",
        description="TOML file with a table for each further provider: its kind and the variables of that kind.",
    )
    default_provider: ProviderName = Field(
        DEFAULT_PROVIDER,
        validation_alias="DAEMON_DEFAULT_PROVIDER",
        description="The provider of runs whose tags and engine name none.",
    )
    named_engine_providers: EngineProvidersByName = Field(
        "",
        validate_default=True,
        validation_alias="DAEMON_ENGINE_PROVIDERS",
        description="The provider of runs without the tag provider_type, by their workflow_engine in any case, such as "
        "Terra=none; none for engines whose runs are refused, or off; without it the engines of the "
        "providers themselves.",
    )
    outputs_tag: OutputsTag = Field(
        None,
        validation_alias="DAEMON_OUTPUTS_TAG",
        description="The tag, such as outputs, into which the outputs of an ended run are written in addition.",
    )
    keep_start_time: bool = Field(
        False,
        validation_alias="DAEMON_KEEP_START_TIME",
        description="Whether a start_time that a WES service has set stays, or is replaced by the provider's.",
    )
    workers: int = Field(
        16, ge=1, le=256, validation_alias="DAEMON_WORKERS", description="Threads that submit runs at the same time."
    )
    lease: LeaseSeconds = Field(
        60,
        validate_default=True,
        validation_alias="DAEMON_LEASE_SECONDS",
        description="Seconds after its last heartbeat until other daemons take over the runs of a daemon that died.",
    )
    wake_up: bool = Field(
        True,
        validation_alias="DAEMON_WAKE_UP",
        description="Whether the daemon listens to the database's change feed, or finds runs only by polling.",
    )
    auto_migrate: bool = Field(
        True,
        validation_alias="DAEMON_AUTO_MIGRATE",
        description="Whether the database's schema is upgraded at the start.",
    )
    service_tables: ServiceTables = Field(
        "create",
        validation_alias="DAEMON_SERVICE_TABLES",
        description="create: missing workflow_runs and task_logs are created; "
        "wait: they belong to a WES service, and the daemon waits for them.",
    )
    daemon_schema: SchemaName = Field(
        None,
        validation_alias="DAEMON_SCHEMA",
        description="PostgreSQL schema of the daemon's own tables, which is created if necessary; "
        "without it the first schema of the search path.",
    )
    log_level: LogLevel = Field(
        "INFO", validation_alias="DAEMON_LOG_LEVEL", description="DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )
    log_file: LocalPath | None = Field(
        None, validation_alias="DAEMON_LOG_FILE", description="File to log to in addition to standard output."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _without_quotation_marks(cls, value: object) -> object:
        return without_quotation_marks(value)

    @field_validator("status_check_floor")
    @classmethod
    def _at_most_the_interval(cls, floor: timedelta, info: ValidationInfo) -> timedelta:
        # The interval is absent from `info.data` if its own value is wrong.
        interval: timedelta = info.data.get("status_check_interval", floor)
        return min(floor, interval)

    @property
    def providers(self) -> Mapping[ProviderType, ProviderInstance]:
        """All known providers by name: those of the installed kinds, and those of DAEMON_PROVIDERS_FILE."""
        return self._providers

    @property
    def engine_providers(self) -> EngineProviders:
        """The providers that stand for workflow engines: as the setting says, else as the providers say."""
        if is_off(self.named_engine_providers):
            return {}
        own = {
            engine.lower(): name
            for name, each in self._providers.items()
            # A list of a person's own replaces the engines of the providers.
            if name == each.kind and each.plugin and not self.named_engine_providers
            for engine in each.plugin.traits.engines
        }
        return {**KNOWN_ENGINES, **own, **{str(name): name for name in self._providers}, **self.named_engine_providers}

    @property
    def per_provider_limits(self) -> Mapping[ProviderType, int]:
        """How many runs of a provider may be active at once, of the providers with such a limit."""
        own = {name: each.max_concurrent for name, each in self._providers.items() if each.max_concurrent is not None}
        return {**own, **self.max_concurrent_per_provider}

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The texts that must not appear in a log or an error message."""
        address = read_address(self.database_uri.get_secret_value()) if self.database_uri else None
        return secrets_of(self._providers.values()) | frozenset(address.secrets if address else ())


def read_settings(**arguments: Any) -> Settings:
    """Read the settings of the daemon and of its providers.

    Arguments have the documented names, such as `DATABASE_URI`, in any case; `DAEMON_` may be left out. None stands for
    an argument that was not given.

    Raises:
        ConfigurationError: a value, an argument's name or a line of `.env` is wrong; the message names every wrong
            setting and says what is expected.
    """
    try:
        if problems := list(problems_in_env_file(setting_names())):
            raise ConfigurationError("\n".join(problems))
        given = {_variable(name): value for name, value in arguments.items() if value is not None}
        settings = _read(given)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{ENV_FILE} is not a text in UTF-8: save it in that encoding") from None
    except (SettingsError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ConfigurationError(f"{ENV_FILE} cannot be read: {reason}: make it a readable text file") from None
    return settings


def documented_settings() -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of each setting, in the order of the documentation: first the daemon's own."""
    for field in (*Settings.model_fields.values(), *(field for _, field in fields_of_providers())):
        default = field.get_default()
        yield str(field.validation_alias), "" if default is None else str(default), field.description or ""


def setting_names() -> Sequence[str]:
    """Return the names of all settings."""
    return [name for name, _, _ in documented_settings()]


def setting_prefixes() -> Collection[str]:
    """Return the beginnings of names that belong to wes-daemon, and of those that belong to one of its providers."""
    own = {f"{name.partition('_')[0]}_" for name in _own_variables()}
    named = [(str(field.validation_alias), kind.upper().replace("-", "_")) for kind, field in fields_of_providers()]
    return {*own, *(name[: name.index(f"{kind}_") + len(kind) + 1] for name, kind in named if f"{kind}_" in name)}


def _read(given: Mapping[str, Any]) -> Settings:
    own = set(_own_variables())
    problems: list[str] = []
    settings: Settings | None = None
    try:
        # Arguments are passed under the names of the variables: in some releases of pydantic-settings the environment
        # overrides arguments that are passed under the names of the fields.
        settings = Settings(**{name: value for name, value in given.items() if name in own})
    except ValidationError as error:
        problems += [message_of(detail, Settings.model_fields) for detail in error.errors()]
    try:
        of_providers = {name: value for name, value in given.items() if name not in own}
        providers = read_providers(of_providers, settings.providers_file if settings else None)
    except ConfigurationError as error:
        problems.append(str(error))
    else:
        problems += _unknown_providers(settings, providers) if settings else ()
    if settings is None or problems:
        raise ConfigurationError("\n".join(problems))
    settings._providers = providers
    return settings


def _unknown_providers(settings: Settings, known: Collection[ProviderType]) -> Iterator[str]:
    """Yield a sentence for each setting that names a provider which is neither installed nor in the file."""
    named: Mapping[str, Collection[ProviderType | None]] = {
        "DAEMON_DEFAULT_PROVIDER": [settings.default_provider],
        "DAEMON_MAX_CONCURRENT_PER_PROVIDER": settings.max_concurrent_per_provider,
        "DAEMON_ENGINE_PROVIDERS": settings.named_engine_providers.values(),
    }
    for variable, names in named.items():
        for name in names:
            is_needed = variable == "DAEMON_DEFAULT_PROVIDER"
            # Another replica, or a plug-in that is not installed any more, may have the name.
            if name is not None and name not in known and (is_needed or get_close_matches(name, known, n=1)):
                names_here = ", ".join(sorted(known))
                yield f"{variable}: there is no provider {str(name)!r}; the providers here are {names_here}"


def _own_variables() -> Sequence[str]:
    return [str(field.validation_alias) for field in Settings.model_fields.values()]


def _variable(name: str) -> str:
    """Return the variable that an argument of `read_settings` names."""
    known = setting_names()
    for variable in (name.upper(), f"{_PREFIX}{name.upper()}"):
        if variable in known:
            return variable
    raise ConfigurationError(f"read_settings has no argument {name}{advice_on_argument(name, known)}")
