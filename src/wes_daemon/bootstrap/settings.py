"""The settings: their documented names, defaults and meanings. They are read once, at the start."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from wes_daemon.adapters.persistence.address import read_address
from wes_daemon.adapters.providers.healthomics.profile import profile_region
from wes_daemon.adapters.providers.sevenbridges.config import Profile, read_profile
from wes_daemon.application.ports.errors import Misconfigured
from wes_daemon.bootstrap.env_file import ENCODING, ENV_FILE, problems_in_env_file
from wes_daemon.bootstrap.setting_problems import advice_on_argument, problem_of
from wes_daemon.bootstrap.setting_types import (
    DEFAULT_OPERATION_RATES,
    EngineProvidersByName,
    LeaseSeconds,
    LocalPath,
    LogLevel,
    MonthInSeconds,
    OperationRates,
    OutputsTag,
    ProviderLimits,
    ProviderName,
    SchemaName,
    Seconds,
    SecretInFile,
    SecretText,
    ServiceTables,
    Token,
    WindowRate,
    YearInSeconds,
    without_quotation_marks,
)
from wes_daemon.domain.errors import WesDaemonError
from wes_daemon.domain.runs import ProviderType

_AWS_REGION = r"^[a-z]{2}(-[a-z]+)+-\d$"
_LAST_AWS_REGION = "us-east-1"


class ConfigurationError(WesDaemonError):
    """A setting is wrong or missing; the message names it, says what is expected, and never shows a secret."""


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
        description="Further limits for single providers, such as sevenbridges=50,healthomics=10.",
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
    default_provider: ProviderName = Field(
        ProviderType.SEVENBRIDGES,
        validation_alias="DAEMON_DEFAULT_PROVIDER",
        description="The provider of runs whose tags and engine name none: sevenbridges, healthomics or local.",
    )
    engine_providers: EngineProvidersByName = Field(
        "SevenBridges=sevenbridges,AWSHealthOmics=healthomics,cwltool=local",
        validate_default=True,
        validation_alias="DAEMON_ENGINE_PROVIDERS",
        description="The provider of runs without the tag provider_type, by their workflow_engine in any case; "
        "none for engines whose runs are refused, or off.",
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
    local_workdir: LocalPath | None = Field(
        None,
        validation_alias="DAEMON_LOCAL_WORKDIR",
        description="Directory of the local provider's runs; the local provider is off while this is not set.",
    )
    local_fetch_timeout: Seconds = Field(
        60,
        validate_default=True,
        validation_alias="DAEMON_LOCAL_FETCH_TIMEOUT",
        description="Seconds for which a local run waits for a server that sends nothing, when it fetches a document "
        "or an input file.",
    )
    log_level: LogLevel = Field(
        "INFO", validation_alias="DAEMON_LOG_LEVEL", description="DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )
    log_file: LocalPath | None = Field(
        None, validation_alias="DAEMON_LOG_FILE", description="File to log to in addition to standard output."
    )
    sevenbridges_api_token: Token = Field(
        None, validation_alias="SEVENBRIDGES_API_TOKEN", description="Authentication token of the Seven Bridges API."
    )
    sevenbridges_api_token_from_file: SecretInFile = Field(
        None,
        validation_alias="SEVENBRIDGES_API_TOKEN_FILE",
        description="File that holds the token, instead of the token itself; read again after a token was refused.",
    )
    sevenbridges_profile: str | None = Field(
        None,
        validation_alias="SEVENBRIDGES_PROFILE",
        description="Profile in ~/.sevenbridges/credentials that holds endpoint and token, instead of both; "
        "read again after a token was refused.",
    )
    sevenbridges_api_endpoint: str = Field(
        "https://api.sbgenomics.com/v2",
        validation_alias="SEVENBRIDGES_API_ENDPOINT",
        pattern=r"^https://\S+$",
        description="Address of the Seven Bridges API.",
    )
    sevenbridges_project: str | None = Field(
        None,
        validation_alias="SEVENBRIDGES_PROJECT",
        pattern=r"^[^/\s]+/[^/\s]+$",
        description="Seven Bridges project of the runs: owner/project.",
    )
    sevenbridges_rate_limit: WindowRate = Field(
        "1000/300",
        validate_default=True,
        validation_alias="SEVENBRIDGES_RATE_LIMIT",
        description="Calls per seconds that the token allows, such as 1000/300, or off.",
    )
    aws_access_key_id: Token = Field(
        None,
        validation_alias="AWS_ACCESS_KEY_ID",
        description="AWS access key; without it boto3 searches for credentials in its usual places.",
    )
    aws_secret_access_key: Token = Field(
        None, validation_alias="AWS_SECRET_ACCESS_KEY", description="The secret that belongs to the access key."
    )
    aws_session_token: Token = Field(
        None, validation_alias="AWS_SESSION_TOKEN", description="The token that belongs to temporary keys."
    )
    aws_region: str | None = Field(
        None,
        validation_alias="AWS_REGION",
        pattern=_AWS_REGION,
        description="AWS region of the HealthOmics runs; without it AWS_DEFAULT_REGION, then the region of the AWS "
        "profile, then us-east-1.",
    )
    aws_default_region: str | None = Field(
        None,
        validation_alias="AWS_DEFAULT_REGION",
        pattern=_AWS_REGION,
        description="The variable in which boto3 expects the region; it counts where AWS_REGION is not set.",
    )
    aws_healthomics_workflow_role_arn: str | None = Field(
        None,
        validation_alias="AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN",
        pattern=r"^arn:\S+$",
        description="Role that HealthOmics assumes for the runs.",
    )
    aws_healthomics_output_uri: str | None = Field(
        None,
        validation_alias="AWS_HEALTHOMICS_OUTPUT_URI",
        pattern=r"^s3://\S+$",
        description="Where HealthOmics stores the outputs: s3://bucket/prefix.",
    )
    aws_healthomics_rate_limits: OperationRates = Field(
        DEFAULT_OPERATION_RATES,
        validate_default=True,
        validation_alias="AWS_HEALTHOMICS_RATE_LIMITS",
        description="Calls per second by operation, or off; operations that are not named keep their defaults.",
    )
    aws_healthomics_resend_horizon: MonthInSeconds = Field(
        43_200,
        validate_default=True,
        validation_alias="AWS_HEALTHOMICS_RESEND_HORIZON",
        description="Seconds for which HealthOmics is expected to recognise a repeated request after a lost answer.",
    )
    aws_healthomics_events_queue_url: str | None = Field(
        None,
        validation_alias="AWS_HEALTHOMICS_EVENTS_QUEUE_URL",
        pattern=r"^https?://[^/\s?#@]+/[0-9]{12}/[\w-]{1,80}(\.fifo)?$",
        description="SQS queue to which EventBridge sends the status changes of HealthOmics runs, as hints.",
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
    def sevenbridges_credentials(self) -> Profile | None:
        """Endpoint and token, from the settings, the token's file or the profile; the files are read each time.

        Raises:
            Misconfigured: a file cannot be read; the message names its setting.
        """
        if self.sevenbridges_api_token is not None:
            return self._sevenbridges_profile_with(self.sevenbridges_api_token.get_secret_value())
        if self.sevenbridges_api_token_from_file is not None:
            try:
                return self._sevenbridges_profile_with(self.sevenbridges_api_token_from_file.read())
            except ValueError as error:
                raise Misconfigured(f"SEVENBRIDGES_API_TOKEN_FILE: {error}") from error
        if not self.sevenbridges_profile:
            return None
        try:
            return read_profile(self.sevenbridges_profile)
        except Misconfigured as error:
            raise Misconfigured(f"SEVENBRIDGES_PROFILE: {error}") from error

    def _sevenbridges_profile_with(self, token: str) -> Profile:
        return Profile(endpoint=self.sevenbridges_api_endpoint, token=token)

    @cached_property
    def healthomics_region(self) -> str:
        """The AWS region of the HealthOmics runs, from the settings or from the AWS profile.

        Raises:
            Misconfigured: the profile cannot be read.
        """
        return self.aws_region or self.aws_default_region or profile_region() or _LAST_AWS_REGION

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The texts that must not appear in a log or an error message."""
        aws = (self.aws_access_key_id, self.aws_secret_access_key, self.aws_session_token)
        keys = {key.get_secret_value() for key in aws if key}
        credentials = self.sevenbridges_credentials
        tokens = {credentials.token} if credentials else set()
        address = read_address(self.database_uri.get_secret_value()) if self.database_uri else None
        return frozenset(keys | tokens | (address.secrets if address else set()))


def read_settings(**arguments: Any) -> Settings:
    """Read the settings. Arguments have the names of the fields; None stands for an argument that was not given.

    Raises:
        ConfigurationError: a value, an argument's name or a line of `.env` is wrong; the message names every wrong
            setting and says what is expected.
    """
    try:
        if problems := list(problems_in_env_file(setting_names())):
            raise ConfigurationError("\n".join(problems))
        # Arguments are passed under the names of the variables: in some releases of pydantic-settings the environment
        # overrides arguments that are passed under the names of the fields.
        settings = Settings(**{_alias(name): value for name, value in arguments.items() if value is not None})
        _ = settings.sevenbridges_credentials
    except ValidationError as error:
        raise ConfigurationError("\n".join(_message(detail) for detail in error.errors())) from None
    except Misconfigured as error:
        raise ConfigurationError(f"{error}. {Settings.model_fields['sevenbridges_profile'].description}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{ENV_FILE} is not a text in UTF-8: save it in that encoding") from None
    except (SettingsError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ConfigurationError(f"{ENV_FILE} cannot be read: {reason}: make it a readable text file") from None
    return settings


def documented_settings() -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of each setting, in the order of the documentation."""
    for field in Settings.model_fields.values():
        default = field.get_default()
        yield str(field.validation_alias), "" if default is None else str(default), field.description or ""


def setting_names() -> Sequence[str]:
    """Return the names of all settings."""
    return [name for name, _, _ in documented_settings()]


def _alias(name: str) -> str:
    field = Settings.model_fields.get(name)
    if field is None:
        variables = dict(zip(setting_names(), Settings.model_fields, strict=True))
        raise ConfigurationError(f"read_settings has no argument {name}{advice_on_argument(name, variables)}")
    return str(field.validation_alias)


def _message(detail: ErrorDetails) -> str:
    name = str(detail["loc"][0])
    field = Settings.model_fields.get(name)
    alias = str(field.validation_alias) if field else name
    description = next((text for known, _, text in documented_settings() if known == alias), "")
    return f"{alias}: {problem_of(alias, detail)}. {description}".rstrip()
