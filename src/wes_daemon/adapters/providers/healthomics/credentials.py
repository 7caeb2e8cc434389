"""The SDK's session, whose credentials raise the port's errors.

botocore's providers of credentials raise plain errors of Python besides their own. Credentials are found and renewed
before a request is signed, so none of these errors can have reached HealthOmics: nothing was started.

No message quotes what a credential process, a metadata service or STS has answered: it may contain a secret.
"""

import errno
import logging
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from json import JSONDecodeError
from typing import Any

from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.error_tables import ErrorKind
from wes_daemon.adapters.providers.healthomics.errors import error_code, error_kind, sdk_errors
from wes_daemon.adapters.providers.healthomics.profile import profile_in_use
from wes_daemon.application.ports.errors import Misconfigured, NotNow, ProviderError, Unavailable

PLAIN_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    TypeError,
    AttributeError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,
)
"""What botocore raises for wrong files, variables and answers while it reads its configuration and credentials."""

_KEYS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
_CONTAINER_VARIABLES = (
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
_PASSING = (ErrorKind.NOTHING_SENT, ErrorKind.FAILED, ErrorKind.IN_DOUBT)
_LIMITED = (ErrorKind.THROTTLED, ErrorKind.QUOTA)
# Their messages repeat what a process or a service has answered.
_UNQUOTED = frozenset({"CredentialRetrievalError", "MetadataRetrievalError", "TokenRetrievalError", "HTTPClientError"})
# All threads wait for the credentials; a process that asks a service for them needs some seconds.
_PROCESS_TIMEOUT = timedelta(minutes=1)
# Anything else is no key or token, and cannot be sent in a header.
_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """Where credentials come from.

    Attributes:
        method: botocore's name of the provider of credentials, such as `custom-process`.
        profile: the AWS profile in use.
    """

    method: str
    profile: str

    def __str__(self) -> str:
        of_profile = f"of profile {self.profile!r}"
        match self.method:
            case "env":
                return _KEYS
            case "custom-process":
                return f"credential_process {of_profile}"
            case "assume-role":
                return f"role_arn {of_profile}"
            case "assume-role-with-web-identity":
                variable = "AWS_WEB_IDENTITY_TOKEN_FILE"
                return variable if os.environ.get(variable) else f"web_identity_token_file {of_profile}"
            case "container-role":
                return ", ".join(name for name in _CONTAINER_VARIABLES if os.environ.get(name))
            case "sso":
                return f"SSO {of_profile}"
            case "iam-role":
                return "the instance role"
            case _:
                return f"AWS profile {self.profile!r}{f' ({self.method})' if self.method else ''}"


def create_session(config: HealthOmicsConfig, session: Any) -> Any:
    """Return a boto3 session. Its credentials are those of the configuration, or come from boto3's credential chain.

    Args:
        session: a new session of botocore, which the boto3 session uses.

    Raises:
        Misconfigured: the configuration or the profile cannot be used.
    """
    import boto3
    from botocore.config import Config

    _check_configured_keys(config)
    logging.getLogger("botocore.credentials").addFilter(_without_traceback)
    with errors_of(Source("", profile_in_use())):
        chain = session.get_component("credential_provider")
    # For the SDK's own calls, such as those of STS, which have no configuration of this package.
    session.set_default_client_config(
        Config(
            connect_timeout=config.connect_timeout.total_seconds(),
            read_timeout=config.read_timeout.total_seconds(),
            retries={"mode": "standard", "total_max_attempts": 1},
        )
    )
    session.register_component("credential_provider", _CheckedChain(chain.providers, session))
    return boto3.Session(
        botocore_session=session,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        aws_session_token=config.session_token,
        region_name=config.region,
    )


def renew(credentials: Any) -> None:
    """Renew credentials that expire soon, before a request needs them.

    Args:
        credentials: the answer of a session's `get_credentials`.

    Raises:
        Misconfigured: there are none, or they cannot be renewed until a person acts.
        NotNow: the service that issues them does not work at the moment.
    """
    if credentials is None:
        profile = profile_in_use()
        raise Misconfigured(
            f"there are no AWS credentials: neither {_KEYS} nor AWS profile {profile!r} nor a role of this machine; "
            "set the two variables, or AWS_PROFILE"
        )
    credentials.get_frozen_credentials()


@contextmanager
def errors_of(source: Source) -> Iterator[None]:
    """Raise the port's errors for what goes wrong while credentials of this source are read."""
    try:
        yield
    except ProviderError:
        raise
    except sdk_errors() + PLAIN_ERRORS as error:
        # Without the cause: its text may hold the output of a process, and with it a secret.
        raise unsent_error(error, source) from None


def unsent_error(error: Exception, source: Source) -> ProviderError:
    """Return the port's error for an error that prevented a request: nothing was sent."""
    text = f"AWS credentials: {source}: {_problem(error, source)}; nothing was sent"
    kind = error_kind(error)
    if kind in _PASSING:
        return Unavailable(text)
    return NotNow(text) if kind in _LIMITED else Misconfigured(text)


class _CheckedChain:
    """botocore's chain of providers of credentials, with the port's errors."""

    def __init__(self, providers: Any, session: Any) -> None:
        self._providers = providers
        self._session = session

    def load_credentials(self) -> "_CheckedCredentials | None":
        for provider in self._providers:
            source = Source(provider.METHOD or "", self._session.profile or "default")
            if source.method == "custom-process":
                # The SDK itself would wait for ever, and lets the process read from the daemon's terminal.
                provider._popen = _CredentialProcess
            with errors_of(source):
                credentials = provider.load()
                if credentials is not None and source.method == "assume-role":
                    _refuse_mfa(self._session.full_config.get("profiles", {}), source.profile)
            if credentials is not None:
                return _CheckedCredentials(credentials, source)
        return None


class _CheckedCredentials:
    """Credentials whose renewal raises the port's errors, also where the SDK renews them while it signs a request."""

    def __init__(self, credentials: Any, source: Source) -> None:
        self._credentials = credentials
        self._source = source

    def get_frozen_credentials(self) -> Any:
        with errors_of(self._source):
            frozen = self._credentials.get_frozen_credentials()
        for name, value in zip(("access key", "secret key"), (frozen.access_key, frozen.secret_key), strict=True):
            _require_printable(value, f"AWS credentials: {self._source}: the {name}")
        if frozen.token is not None:
            _require_printable(frozen.token, f"AWS credentials: {self._source}: the session token")
        return frozen

    def get_deferred_property(self, name: str) -> Callable[[], Any]:
        get = self._credentials.get_deferred_property(name)

        def checked() -> Any:
            with errors_of(self._source):
                return get()

        return checked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._credentials, name)


class _CredentialProcess(subprocess.Popen[bytes]):
    """A process that cannot ask for an input, and that is killed if it does not end in time."""

    def __init__(self, args: Any, **options: Any) -> None:
        super().__init__(args, stdin=subprocess.DEVNULL, **options)

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Return both outputs; raises `TimeoutError`, whose text does not contain the command."""
        del timeout
        try:
            return super().communicate(input, timeout=_PROCESS_TIMEOUT.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()
            for output in (self.stdout, self.stderr):
                if output:
                    output.close()
            reason = f"it has not ended after {_PROCESS_TIMEOUT.total_seconds():g} seconds"
            raise TimeoutError(errno.ETIMEDOUT, reason) from None


def _check_configured_keys(config: HealthOmicsConfig) -> None:
    # With only one of the two, boto3 silently signs with other credentials that it finds.
    if (config.access_key_id is None) != (config.secret_access_key is None):
        raise Misconfigured("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: only one of the two is set; set both")
    for name, value in (
        ("AWS_ACCESS_KEY_ID", config.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", config.secret_access_key),
        ("AWS_SESSION_TOKEN", config.session_token),
    ):
        if value is not None:
            _require_printable(value, name)


def _require_printable(value: object, subject: str) -> None:
    if not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
        raise Misconfigured(
            f"{subject} is empty, or contains a space, a line break or a character that no AWS key has; "
            "nothing was sent. Enter it again"
        )


def _refuse_mfa(profiles: dict[str, Any], name: str) -> None:
    """Refuse a role that needs an MFA code: botocore would ask for it on the terminal."""
    visited: set[str] = set()
    current: str | None = name
    while current in profiles and current not in visited:
        visited.add(current)
        profile = profiles[current]
        if "role_arn" in profile and "mfa_serial" in profile:
            raise Misconfigured(
                f"AWS credentials: profile {current!r} has mfa_serial: the daemon cannot enter an MFA code; nothing "
                "was sent. Use credentials without MFA, or obtain a session with it and set its three keys"
            )
        current = profile.get("source_profile")


def _problem(error: Exception, source: Source) -> str:
    if error_code(error):
        return f"{getattr(error, 'operation_name', 'the service')} was refused with {error_code(error)}"
    if isinstance(error, JSONDecodeError | UnicodeDecodeError):
        return "the answer is no JSON"
    if type(error).__name__ in _UNQUOTED:
        return f"no credentials were obtained ({type(error).__name__})"
    if isinstance(error, sdk_errors()):
        hint = f"; run `aws sso login --profile {source.profile}`" if source.method == "sso" else ""
        return f"{error}{hint}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, EOFError):
        return "it asks for an input that the daemon cannot give"
    if isinstance(error, RuntimeError):
        return "the renewed credentials have expired already; set this machine's clock, or correct their source"
    return f"the credentials are incomplete or cannot be read ({type(error).__name__})"


def _without_traceback(record: logging.LogRecord) -> bool:
    """Remove the traceback with which botocore logs a failed renewal: it holds the output of the process."""
    record.exc_info, record.exc_text = None, None
    return True
