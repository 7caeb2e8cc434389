"""What may be configured, under its documented names. Read once, at the edge."""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from wes_daemon.adapters.persistence.address import read_address
from wes_daemon.adapters.providers.healthomics.config import CALLS_PER_SECOND
from wes_daemon.adapters.providers.sevenbridges.config import Profile, read_profile
from wes_daemon.adapters.resilience.rates import read_rates, read_window
from wes_daemon.application.ports.errors import Misconfigured
from wes_daemon.domain.errors import WesDaemonError
from wes_daemon.domain.runs import ProviderType


class ConfigurationError(WesDaemonError):
    """A setting is wrong or missing; the message names it and what would be right, never a secret's value."""


ENV_FILE = ".env"
_ENCODING = "utf-8"

_OURS = ("DAEMON_", "DATABASE_", "SEVENBRIDGES_", "AWS_HEALTHOMICS_")

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _expanded(value: object) -> object:
    try:
        return Path(value).expanduser().absolute() if isinstance(value, str) else value
    except RuntimeError as error:
        raise ValueError(f"{value!r} names a home that does not exist") from error


def _content(path: object) -> object:
    """What the file holds; secrets are often mounted as files with a newline at the end."""
    try:
        return Path(str(path)).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise ValueError(f"the file cannot be read ({type(error).__name__})") from None


def _off_or(read: Callable[[str], object]) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if text != "off":
            read(text)
        return text

    return checked


def _read_caps(text: str) -> Mapping[ProviderType, int]:
    caps = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        provider, _, runs = part.partition("=")
        name = provider.strip().lower()
        if name not in list(ProviderType) or not runs.strip().isdecimal():
            raise ValueError(f"{part!r} is no cap: expected provider=runs, such as sevenbridges=50,healthomics=10")
        caps[ProviderType(name)] = int(runs)
    return caps


def _checked_caps(text: str) -> str:
    _read_caps(text)
    return text


Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
LongPath = Annotated[Path, BeforeValidator(_expanded)]


class Settings(BaseSettings):
    """The settings, from arguments first, the environment second, a `.env` file in the working directory third.

    Each field's alias is the documented name of its environment variable; its description is what the
    documentation says of it.
    """

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding=_ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    database_uri: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URI",
        description="The database: postgresql://user:password@host/name or sqlite:////path/to/file.",
    )
    poll_interval_seconds: Seconds = Field(
        60, validation_alias="DAEMON_POLL_INTERVAL", description="Seconds between two looks for queued runs."
    )
    status_check_interval_seconds: Seconds = Field(
        300,
        validation_alias="DAEMON_STATUS_CHECK_INTERVAL",
        description="Seconds between two looks at one active run, at most; a young one is looked at more often.",
    )
    status_check_floor_seconds: Seconds = Field(
        15,
        validation_alias="DAEMON_STATUS_CHECK_FLOOR",
        description="Seconds between two looks at one active run, at least; never more than the interval.",
    )
    max_concurrent_workflows: int = Field(
        10,
        ge=1,
        le=1_000_000,
        validation_alias="DAEMON_MAX_CONCURRENT_WORKFLOWS",
        description="Runs that providers may hold at once, over all daemons on the same database.",
    )
    max_concurrent_per_provider: Annotated[str, AfterValidator(_checked_caps)] = Field(
        "",
        validation_alias="DAEMON_MAX_CONCURRENT_PER_PROVIDER",
        description="Further caps for single providers, such as sevenbridges=50,healthomics=10.",
    )
    fair_share_tag: str | None = Field(
        None,
        validation_alias="DAEMON_FAIR_SHARE_TAG",
        description="The tag, such as project, whose values share the caps fairly; without it the oldest goes first.",
    )
    submit_timeout_seconds: Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)] = Field(
        86_400,
        validation_alias="DAEMON_SUBMIT_TIMEOUT",
        description="Seconds for which a submission may fail before its run ends SYSTEM_ERROR.",
    )
    submit_attempts: int | None = Field(
        None,
        ge=1,
        validation_alias="DAEMON_SUBMIT_ATTEMPTS",
        description="Failed submissions after which a run ends SYSTEM_ERROR; without it only the timeout counts.",
    )
    vanished_after_seconds: Seconds = Field(
        3_600,
        validation_alias="DAEMON_VANISHED_AFTER",
        description="Seconds for which a provider must not know a run before that ends SYSTEM_ERROR.",
    )
    default_provider: Annotated[ProviderType, BeforeValidator(_lower)] = Field(
        ProviderType.SEVENBRIDGES,
        validation_alias="DAEMON_DEFAULT_PROVIDER",
        description="The provider of runs whose tags name none: sevenbridges, healthomics or local.",
    )
    workers: int = Field(
        16, ge=1, le=256, validation_alias="DAEMON_WORKERS", description="Threads that submit runs at the same time."
    )
    lease_seconds: Annotated[float, Field(ge=2, le=3_600, allow_inf_nan=False)] = Field(
        60,
        validation_alias="DAEMON_LEASE_SECONDS",
        description="Seconds after which another daemon takes over from one that has died without a word.",
    )
    wake_up: bool = Field(
        True,
        validation_alias="DAEMON_WAKE_UP",
        description="Whether the database tells at once of queued and cancelled runs; else only polling does.",
    )
    auto_migrate: bool = Field(
        True,
        validation_alias="DAEMON_AUTO_MIGRATE",
        description="Whether the database's schema is brought up to date at the start.",
    )
    local_workdir: LongPath | None = Field(
        None,
        validation_alias="DAEMON_LOCAL_WORKDIR",
        description="Directory of the local provider's runs; the local provider is off while this is not set.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = Field(
        "INFO", validation_alias="DAEMON_LOG_LEVEL", description="DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )
    log_file: LongPath | None = Field(
        None, validation_alias="DAEMON_LOG_FILE", description="File to log to in addition to standard output."
    )
    sevenbridges_api_token: SecretStr | None = Field(
        None, validation_alias="SEVENBRIDGES_API_TOKEN", description="Authentication token of the Seven Bridges API."
    )
    sevenbridges_api_token_from_file: Annotated[SecretStr | None, BeforeValidator(_content)] = Field(
        None,
        validation_alias="SEVENBRIDGES_API_TOKEN_FILE",
        description="File that holds the token, in place of the token itself.",
    )
    sevenbridges_profile: str | None = Field(
        None,
        validation_alias="SEVENBRIDGES_PROFILE",
        description="Profile in ~/.sevenbridges/credentials that holds endpoint and token, in place of both.",
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
    sevenbridges_rate_limit: Annotated[str, AfterValidator(_off_or(read_window))] = Field(
        "1000/300",
        validation_alias="SEVENBRIDGES_RATE_LIMIT",
        description="Calls per seconds that the token allows, such as 1000/300, or off.",
    )
    aws_access_key_id: SecretStr | None = Field(
        None, validation_alias="AWS_ACCESS_KEY_ID", description="AWS access key; without it boto3's own chain is used."
    )
    aws_secret_access_key: SecretStr | None = Field(
        None, validation_alias="AWS_SECRET_ACCESS_KEY", description="The secret that belongs to the access key."
    )
    aws_session_token: SecretStr | None = Field(
        None, validation_alias="AWS_SESSION_TOKEN", description="The token that belongs to temporary keys."
    )
    aws_region: str = Field(
        "us-east-1",
        validation_alias="AWS_REGION",
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="AWS region of the HealthOmics runs.",
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
        description="Where HealthOmics puts the outputs: s3://bucket/prefix.",
    )
    aws_healthomics_rate_limits: Annotated[str, AfterValidator(_off_or(read_rates))] = Field(
        ",".join(f"{operation}={calls:g}" for operation, calls in CALLS_PER_SECOND.items()),
        validation_alias="AWS_HEALTHOMICS_RATE_LIMITS",
        description="Calls per second by operation, or off; what is not named keeps its default.",
    )

    aws_healthomics_resend_horizon_seconds: Annotated[float, Field(gt=0, le=2_592_000, allow_inf_nan=False)] = Field(
        43_200,
        validation_alias="AWS_HEALTHOMICS_RESEND_HORIZON",
        description="Seconds for which HealthOmics is trusted to remember the request of a lost answer.",
    )
    aws_healthomics_events_queue_url: str | None = Field(
        None,
        validation_alias="AWS_HEALTHOMICS_EVENTS_QUEUE_URL",
        pattern=r"^https?://[^/\s?#@]+/[0-9]{12}/[\w-]{1,80}(\.fifo)?$",
        description="SQS queue to which EventBridge sends the status changes of HealthOmics runs, as hints.",
    )

    @property
    def poll_interval(self) -> timedelta:
        """Between two looks for queued runs."""
        return timedelta(seconds=self.poll_interval_seconds)

    @property
    def status_check_interval(self) -> timedelta:
        """Between two looks at one active run, at most."""
        return timedelta(seconds=self.status_check_interval_seconds)

    @property
    def status_check_floor(self) -> timedelta:
        """Between two looks at one active run, at least."""
        return min(timedelta(seconds=self.status_check_floor_seconds), self.status_check_interval)

    @property
    def lease(self) -> timedelta:
        """How long a daemon's claims are good without a sign of life."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def provider_caps(self) -> Mapping[ProviderType, int]:
        """The caps of single providers."""
        return _read_caps(self.max_concurrent_per_provider)

    @property
    def submit_timeout(self) -> timedelta:
        """How long a submission may fail."""
        return timedelta(seconds=self.submit_timeout_seconds)

    @property
    def vanished_after(self) -> timedelta:
        """How long a provider must not know a run before it is given up."""
        return timedelta(seconds=self.vanished_after_seconds)

    @property
    def sevenbridges_credentials(self) -> Profile | None:
        """Endpoint and token, from wherever they were given; raises `Misconfigured` for a profile that is not there."""
        token = self.sevenbridges_api_token or self.sevenbridges_api_token_from_file
        if token is not None:
            return Profile(endpoint=self.sevenbridges_api_endpoint, token=token.get_secret_value())
        return read_profile(self.sevenbridges_profile) if self.sevenbridges_profile else None

    @property
    def secrets(self) -> frozenset[str]:
        """The texts that must never be seen in a log or an error."""
        keys = {
            key.get_secret_value()
            for key in (self.aws_access_key_id, self.aws_secret_access_key, self.aws_session_token)
            if key
        }
        tokens = {self.sevenbridges_credentials.token} if self.sevenbridges_credentials else set()
        address = read_address(self.database_uri.get_secret_value()) if self.database_uri else None
        return frozenset(keys | tokens | (address.secrets if address else set()))


def read_settings(**given: Any) -> Settings:
    """Read the settings; what is given here, under the fields' names, comes before environment and file.

    Raises:
        ConfigurationError: a value is wrong; each is named with what would be right.
    """
    try:
        # Under the variables' names: some releases of pydantic-settings let the environment win over fields' names.
        settings = Settings(**{_alias(name): value for name, value in given.items() if value is not None})
        _ = settings.sevenbridges_credentials
    except ValidationError as error:
        raise ConfigurationError("\n".join(_complaint(detail) for detail in error.errors())) from None
    except Misconfigured as error:
        raise ConfigurationError(f"SEVENBRIDGES_PROFILE: {error}") from error
    except (SettingsError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(
            f"the settings could not be read: {type(error).__name__}; is .env a text file?"
        ) from None
    return settings


def documented_settings() -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of each setting, in the order of the documentation."""
    for field in Settings.model_fields.values():
        default = field.get_default()
        yield str(field.validation_alias), "" if default is None else str(default), field.description or ""


def misspelt(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Those that look like a setting's name and are none, each with the likeliest right one."""
    known = [name for name, _, _ in documented_settings()]
    for name in sorted(names):
        # pydantic takes a name in any case.
        if name.upper().startswith(_OURS) and name.upper() not in known:
            yield from ((name, right) for right in difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75))


def names_in_env_file() -> Collection[str]:
    """The names in `.env` in the working directory; none where there is no such file."""
    return dotenv_values(ENV_FILE, encoding=_ENCODING, interpolate=False).keys()


def _alias(name: str) -> str:
    return str(Settings.model_fields[name].validation_alias)


def _complaint(detail: ErrorDetails) -> str:
    name = str(detail["loc"][0])
    field = Settings.model_fields.get(name)
    alias = str(field.validation_alias) if field else name
    described = next((text for known, _, text in documented_settings() if known == alias), "")
    return f"{alias}: {_problem(detail)}. {described}".rstrip()


def _problem(detail: ErrorDetails) -> str:
    told = detail["msg"].removeprefix("Value error, ")
    return told[:1].lower() + told[1:]
