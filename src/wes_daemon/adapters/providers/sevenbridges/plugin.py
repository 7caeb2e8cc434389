"""The plug-in of Seven Bridges: its settings, and how the provider is built from them."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from wes_daemon.adapters.providers.sevenbridges.config import Profile, SevenBridgesConfig, read_profile
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS
from wes_daemon.application.ports.errors import Misconfigured, NotEnabled
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import ProviderType
from wes_daemon.plugins import Configured, Missing, ProviderPlugin, ProviderSettings, ProviderTools, ProviderTraits
from wes_daemon.plugins.accounts import account_name
from wes_daemon.plugins.setting_types import SecretInFile, Token, WindowRate

if TYPE_CHECKING:
    from wes_daemon.adapters.providers.sevenbridges.provider import SevenBridgesProvider

# In place of settings that are missing where a request is only checked: the daemon may have them.
_NO_TOKEN = "0" * 32
_NO_PROJECT = "owner/project"


class SevenBridgesSettings(ProviderSettings):
    """The settings of one Seven Bridges platform and account."""

    api_token: Token = Field(
        None, validation_alias="SEVENBRIDGES_API_TOKEN", description="Authentication token of the Seven Bridges API."
    )
    api_token_from_file: SecretInFile = Field(
        None,
        validation_alias="SEVENBRIDGES_API_TOKEN_FILE",
        description="File that holds the token, instead of the token itself; read again after a token was refused.",
    )
    profile: str | None = Field(
        None,
        validation_alias="SEVENBRIDGES_PROFILE",
        description="Profile in ~/.sevenbridges/credentials that holds endpoint and token, instead of both; "
        "read again after a token was refused.",
    )
    api_endpoint: str = Field(
        "https://api.sbgenomics.com/v2",
        validation_alias="SEVENBRIDGES_API_ENDPOINT",
        pattern=r"^https://\S+$",
        examples=["https://api.sbgenomics.com/v2"],
        description="Address of the Seven Bridges API.",
    )
    project: str | None = Field(
        None,
        validation_alias="SEVENBRIDGES_PROJECT",
        pattern=r"^[^/\s]+/[^/\s]+$",
        examples=["owner/project"],
        description="Seven Bridges project of the runs: owner/project.",
    )
    rate_limit: WindowRate = Field(
        "1000/300",
        validate_default=True,
        validation_alias="SEVENBRIDGES_RATE_LIMIT",
        description="Calls per seconds that the token allows, such as 1000/300, or off.",
    )

    @field_validator("profile")
    @classmethod
    def _can_be_read(cls, profile: str | None) -> str | None:
        try:
            _ = read_profile(profile) if profile else None
        except Misconfigured as error:
            raise ValueError(str(error)) from None
        return profile

    @property
    def credentials(self) -> Profile | None:
        """Endpoint and token, from the settings, the token's file or the profile; the files are read each time.

        Raises:
            Misconfigured: a file cannot be read; the message names its setting.
        """
        if self.api_token is not None:
            return Profile(endpoint=self.api_endpoint, token=self.api_token.get_secret_value())
        if self.api_token_from_file is not None:
            try:
                return Profile(endpoint=self.api_endpoint, token=self.api_token_from_file.read())
            except ValueError as error:
                raise Misconfigured(f"SEVENBRIDGES_API_TOKEN_FILE: {error}") from error
        if not self.profile:
            return None
        try:
            return read_profile(self.profile)
        except Misconfigured as error:
            raise Misconfigured(f"SEVENBRIDGES_PROFILE: {error}") from error


class SevenBridgesPlugin(ProviderPlugin[SevenBridgesSettings]):
    """Seven Bridges (Velsera): one platform, one token, one default project."""

    contract = 1
    name = ProviderType.SEVENBRIDGES
    traits = ProviderTraits(title="Seven Bridges", engines=("SevenBridges",))
    settings = SevenBridgesSettings

    def is_configured(self, settings: SevenBridgesSettings) -> Configured | Missing:
        if missing := _missing(settings):
            return Missing(settings=missing, is_partial=bool(settings.model_fields_set))
        endpoint = settings.api_endpoint
        if settings.api_token is None and settings.api_token_from_file is None and settings.profile:
            endpoint = read_profile(settings.profile).endpoint
        return Configured(target=f"{settings.project}@{urlsplit(endpoint).hostname}")

    def build(self, settings: SevenBridgesSettings, tools: ProviderTools) -> "SevenBridgesProvider":
        from wes_daemon.adapters.providers.sevenbridges.provider import SevenBridgesProvider

        credentials, project = settings.credentials, settings.project
        if credentials is None or project is None:
            raise NotEnabled(f"{self.traits.title}: {self.is_configured(settings)}")
        config = SevenBridgesConfig(
            endpoint=credentials.endpoint,
            token=credentials.token,
            project=project,
            connect_timeout=tools.connect_timeout,
            read_timeout=tools.read_timeout,
            connections=tools.connections,
            read_token=_token_reader(settings, credentials),
        )
        gate = tools.gate(
            {} if settings.rate_limit is None else {ALL_OPERATIONS: settings.rate_limit},
            account=account_name(self.name, credentials.endpoint, credentials.token),
        )
        return SevenBridgesProvider(config, clock=tools.clock, gate=gate)

    def check_request(self, settings: SevenBridgesSettings, submission: Submission) -> None:
        from wes_daemon.adapters.providers.sevenbridges.task_request import read_task_request

        credentials = settings.credentials
        config = SevenBridgesConfig(
            endpoint=credentials.endpoint if credentials else settings.api_endpoint,
            token=_NO_TOKEN,
            project=settings.project or _NO_PROJECT,
        )
        read_task_request(submission, config)

    def secrets(self, settings: SevenBridgesSettings) -> Collection[str]:
        try:
            credentials = settings.credentials
        except Misconfigured:
            return super().secrets(settings)
        return [*super().secrets(settings), *([credentials.token] if credentials else [])]


def _missing(settings: SevenBridgesSettings) -> Sequence[str]:
    """Return the settings without which no run goes to Seven Bridges, and which were not given."""
    has_credentials = (settings.api_token or settings.api_token_from_file or settings.profile) is not None
    return [
        *([] if has_credentials else ["SEVENBRIDGES_API_TOKEN (or SEVENBRIDGES_API_TOKEN_FILE, SEVENBRIDGES_PROFILE)"]),
        *([] if settings.project else ["SEVENBRIDGES_PROJECT"]),
    ]


def _token_reader(settings: SevenBridgesSettings, credentials: Profile) -> Callable[[], str] | None:
    """Return a function that reads the token again; None if the token itself stands in the settings."""
    if settings.api_token is not None:
        return None

    def read() -> str:
        found = settings.credentials
        if found is None or found.endpoint != credentials.endpoint:
            raise Misconfigured("SEVENBRIDGES_PROFILE names another endpoint now: restart the daemon")
        return found.token

    return read
