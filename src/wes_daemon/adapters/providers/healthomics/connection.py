"""boto3 clients, created at first use; boto3 is imported only then."""

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.credentials import PLAIN_ERRORS, create_session, renew
from wes_daemon.adapters.providers.healthomics.errors import sdk_errors
from wes_daemon.adapters.providers.healthomics.transport import check_ca_bundle, check_proxy, is_address
from wes_daemon.application.ports.errors import Misconfigured

# At DEBUG these loggers write signed headers, session token included, whole payloads, and what a service that issues
# credentials has answered.
_LOGGERS_WITH_SECRETS = (
    "botocore.auth",
    "botocore.endpoint",
    "botocore.hooks",
    "botocore.parsers",
    "botocore.httpsession",
    "botocore.utils",
)
_STATUSES_WITH_BODY = (200, 201)
# Sources: botocore.endpoint; urllib.parse.
_INVALID_ENDPOINT = re.compile(r"Invalid endpoint: |Invalid IPv6 URL")


class Connection:
    """One client per AWS service for one set of credentials, shared by all threads.

    A client is returned only with credentials that are valid now, and with a CA bundle and a proxy that can be used.
    Otherwise `Misconfigured` or `NotNow` is raised: no request has left this process.
    """

    def __init__(self, config: HealthOmicsConfig) -> None:
        self._config = config
        self._sdk: Any = None
        self._session: Any = None
        self._credentials: Any = None
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def omics(self) -> Any:
        """Return the client of HealthOmics."""
        return self._client("omics", self._create_omics)

    def s3(self) -> Any:
        """Return the client of S3, which reads outputs."""
        return self._client("s3", self._create_s3)

    def sqs(self, endpoint: str | None = None) -> Any:
        """Return the client of SQS, which receives events; without `endpoint` at the SDK's own endpoint."""
        return self._client("sqs", lambda: self._create("sqs", endpoint))

    def reset(self) -> None:
        """Create session and clients anew at the next use, with the credentials that are found then."""
        with self._lock:
            self._session = None
            self._credentials = None
            self._clients.clear()

    def _client(self, service: str, create: Callable[[], Any]) -> Any:
        try:
            client, credentials = self._prepared(service, create)
            # Outside the lock: it may take a request to STS.
            renew(credentials)
        except Misconfigured:
            self.reset()
            raise
        return client

    def _prepared(self, service: str, create: Callable[[], Any]) -> tuple[Any, Any]:
        # boto3 clients are thread-safe, sessions are not.
        with self._lock:
            if self._session is None:
                self._start_session()
            if service not in self._clients:
                client = create()
                self._check_transport(service, client.meta.endpoint_url)
                self._clients[service] = client
            return self._clients[service], self._credentials

    def _start_session(self) -> None:
        for name in _LOGGERS_WITH_SECRETS:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.INFO))
        from botocore.session import get_session

        self._sdk = get_session()
        session = create_session(self._config, self._sdk)
        # Before the first client, so that an error while a client is created cannot be one of the credentials.
        self._credentials = session.get_credentials()
        self._session = session

    def _create_omics(self) -> Any:
        # botocore puts a prefix before the host, one per group of operations: `workflows-omics.…`.
        # A configured endpoint is a complete address and must not get the prefix.
        options = {"inject_host_prefix": False} if self._has_configured_endpoint("omics") else {}
        client = self._create("omics", **options)
        client.meta.events.register("before-parse.omics.*", _check_body)
        return client

    def _create_s3(self) -> Any:
        options = {"s3": {"addressing_style": "path"}} if self._has_configured_endpoint("s3") else {}
        return self._create("s3", **options)

    def _has_configured_endpoint(self, service: str) -> bool:
        default = self._create(service, ignore_configured_endpoint_urls=True)
        return bool(self._create(service).meta.endpoint_url != default.meta.endpoint_url)

    def _create(self, service: str, endpoint: str | None = None, /, **options: Any) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=self._config.connect_timeout.total_seconds(),
            read_timeout=self._config.read_timeout.total_seconds(),
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=self._config.connections,
            user_agent_extra=f"wes-daemon/{version('wes-daemon')}",
            **options,
        )
        try:
            return self._session.client(service, endpoint_url=endpoint, config=config)
        except sdk_errors():
            raise
        except PLAIN_ERRORS as error:
            raise _unusable_settings(service, error) from None

    def _check_transport(self, service: str, endpoint: str) -> None:
        if not is_address(endpoint):
            raise _unusable_endpoint(service)
        if endpoint.startswith("https:"):
            check_ca_bundle(self._sdk)
        check_proxy(endpoint)


def _unusable_settings(service: str, error: Exception) -> Misconfigured:
    """Blame the address only where botocore does: any setting of AWS may be wrong."""
    if _INVALID_ENDPOINT.match(str(error)):
        return _unusable_endpoint(service)
    return Misconfigured(
        f"the AWS settings in the environment or in the AWS profile cannot be used for {service}: "
        f"{type(error).__name__}: {error}; nothing was sent"
    )


def _unusable_endpoint(service: str) -> Misconfigured:
    """Blame the address without repeating it, since it may contain a password."""
    return Misconfigured(
        f"AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_{service.upper()} is not an address; nothing was sent. "
        "The form is https://host:port"
    )


def _check_body(response_dict: dict[str, Any], **_: object) -> None:
    """Refuse a response with a broken body, which botocore would parse as `{}`, an empty list of runs.

    In an error response, a body that is not a JSON object is replaced with an object that holds it as the message:
    botocore fails to parse some of those.
    """
    body, status = response_dict["body"], response_dict["status_code"]
    if _is_json_object(body) or (not body and status not in _STATUSES_WITH_BODY):
        return
    if status < 300:
        from botocore.parsers import ResponseParserError

        raise ResponseParserError("the response is not a JSON object, or is truncated")
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else ""
    response_dict["body"] = json.dumps({"message": text}).encode()


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), Mapping)
    except ValueError:
        return False
