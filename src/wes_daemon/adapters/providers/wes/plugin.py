"""The plug-in of remote WES servers: its settings, and how the provider is built from them."""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, InstanceOf, SecretStr, field_validator

from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS
from wes_daemon.application.ports.errors import Misconfigured, NotEnabled, ProviderError
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import ProviderType
from wes_daemon.plugins import (
    Configured,
    Examination,
    Missing,
    ProviderPlugin,
    ProviderSettings,
    ProviderTools,
    ProviderTraits,
)
from wes_daemon.plugins.accounts import account_name
from wes_daemon.plugins.setting_types import SecretFile, SecretInFile, SecretText, Token, WindowRate

if TYPE_CHECKING:
    from wes_daemon.adapters.providers.wes.provider import WesProvider


def _password_file(path: object) -> object:
    file = SecretFile(Path(str(path)))
    file.read()
    return file


PasswordInFile = Annotated[InstanceOf[SecretFile] | None, BeforeValidator(_password_file)]
"""The path of a file that holds a secret, which may contain blanks."""


class WesSettings(ProviderSettings):
    """The settings of one WES server and credential."""

    endpoint: str | None = Field(
        None,
        validation_alias="WES_ENDPOINT",
        examples=["https://host/ga4gh/wes/v1"],
        description="Address of the WES server; without a path, /ga4gh/wes/v1 is added.",
    )
    token: Token = Field(
        None, validation_alias="WES_TOKEN", description="Token that is sent to the WES server as Authorization: Bearer."
    )
    token_from_file: SecretInFile = Field(
        None,
        validation_alias="WES_TOKEN_FILE",
        description="File that holds the token, instead of the token itself; read again after a token was refused.",
    )
    user: str | None = Field(
        None, validation_alias="WES_USER", description="User that is sent to the WES server as Authorization: Basic."
    )
    password: SecretText = Field(
        None, validation_alias="WES_PASSWORD", description="The password that belongs to WES_USER."
    )
    password_from_file: PasswordInFile = Field(
        None,
        validation_alias="WES_PASSWORD_FILE",
        description="File that holds the password, instead of the password itself; read again after it was refused.",
    )
    rate_limit: WindowRate = Field(
        "off",
        validate_default=True,
        validation_alias="WES_RATE_LIMIT",
        description="Calls per seconds that the WES server allows, such as 1000/300, or off.",
    )
    honours_idempotency_key: bool = Field(
        False,
        validation_alias="WES_HONOURS_IDEMPOTENCY_KEY",
        description="Whether the WES server is known to start one run for each Idempotency-Key; "
        "a server may also say so itself.",
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str | None) -> str | None:
        try:
            _ = WesConfig(endpoint=endpoint) if endpoint else None
        except Misconfigured as error:
            raise ValueError(str(error)) from None
        return endpoint

    def secret(self) -> str:
        """Return the token or the password, from the settings or from its file; the file is read each time.

        Raises:
            Misconfigured: the file cannot be read; the message names its setting.
        """
        given, name, file = (
            (self.password, "WES_PASSWORD_FILE", self.password_from_file)
            if self.user
            else (self.token, "WES_TOKEN_FILE", self.token_from_file)
        )
        if given is not None or file is None:
            return _revealed(given)
        try:
            return file.read()
        except ValueError as error:
            raise Misconfigured(f"{name}: {error}") from error


class WesPlugin(ProviderPlugin[WesSettings]):
    """Any server with the GA4GH WES API, version 1.0 or 1.1: one endpoint, one credential."""

    contract = 1
    name = ProviderType.WES
    traits = ProviderTraits(title="the WES server")
    settings = WesSettings

    def is_configured(self, settings: WesSettings) -> Configured | Missing:
        if not settings.endpoint:
            return Missing(settings=("WES_ENDPOINT",), is_partial=bool(settings.model_fields_set))
        return Configured(target=urlsplit(WesConfig(endpoint=settings.endpoint).base_url).netloc)

    def build(self, settings: WesSettings, tools: ProviderTools) -> "WesProvider":
        from wes_daemon.adapters.providers.wes.provider import WesProvider

        config = _config(settings, tools)
        gate = tools.gate(
            {} if settings.rate_limit is None else {ALL_OPERATIONS: settings.rate_limit},
            account=account_name(self.name, config.base_url, config.user, config.token),
        )
        return WesProvider(config, clock=tools.clock, gate=gate)

    def check_request(self, settings: WesSettings, submission: Submission) -> None:
        from wes_daemon.adapters.providers.wes.run_request import run_request
        from wes_daemon.adapters.providers.wes.server_info import ServerInfo

        del settings
        run_request(submission, ServerInfo(), own_name=self.name)

    def takes_workflow(self, settings: WesSettings, submission: Submission) -> bool:
        """Return whether the URL is one that every WES server reads; without a server it is not recommended."""
        url = submission.request.workflow_url
        is_attached = url.partition("#")[0] in {file.name for file in submission.attachments}
        return bool(settings.endpoint) and (is_attached or url.startswith(("https://", "http://")))

    def examine(self, settings: WesSettings, tools: ProviderTools) -> Iterable[Examination]:
        """List runs without reading them, which costs one call for each run at some servers."""
        try:
            problem = self.build(settings, tools).problem_of_server()
        except ProviderError as error:
            problem = str(error)
        yield Examination(subject="the WES server says what it is, and lists runs", problem=problem)

    def secrets(self, settings: WesSettings) -> Collection[str]:
        """Return the secrets, and the login as it is sent."""
        texts = [*super().secrets(settings)]
        if settings.user:
            texts += [
                secret
                for password in tuple(texts)
                for secret in WesConfig(endpoint="https://host", user=settings.user, password=password).secrets
            ]
        return texts


def _config(settings: WesSettings, tools: ProviderTools) -> WesConfig:
    """Return the provider's configuration.

    Raises:
        NotEnabled: no endpoint is set.
        Misconfigured: the settings contradict each other, or a file cannot be read.
    """
    if not settings.endpoint:
        raise NotEnabled(f"the WES server: {WesPlugin().is_configured(settings)}")
    if (settings.token or settings.token_from_file) and settings.user:
        raise Misconfigured("WES_TOKEN and WES_USER are both given: give the one that the server takes")
    if (settings.password or settings.password_from_file) and not settings.user:
        raise Misconfigured("WES_PASSWORD is given without WES_USER: give both, or neither")
    secret = settings.secret()
    return WesConfig(
        endpoint=settings.endpoint,
        name=tools.name,
        token="" if settings.user else secret,
        user=settings.user or "",
        password=secret if settings.user else "",
        read_secret=_secret_reader(settings),
        connect_timeout=tools.connect_timeout,
        read_timeout=tools.read_timeout,
        connections=tools.connections,
        honours_key=settings.honours_idempotency_key,
    )


def _secret_reader(settings: WesSettings) -> Callable[[], str] | None:
    """Return a function that reads the secret again; None if the secret itself stands in the settings."""
    given, file = (
        (settings.password, settings.password_from_file)
        if settings.user
        else (settings.token, settings.token_from_file)
    )
    return settings.secret if given is None and file is not None else None


def _revealed(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
