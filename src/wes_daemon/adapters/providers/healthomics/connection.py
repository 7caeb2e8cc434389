"""The SDK's clients, made when they are first used; boto3 is imported only then."""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.application.ports.errors import Misconfigured

# At DEBUG these tell signed headers, session token included, and whole payloads.
_TALKATIVE = ("botocore.auth", "botocore.endpoint", "botocore.hooks", "botocore.parsers", "botocore.httpsession")
_WITH_BODY = (200, 201)


class Connection:
    """One client per service for one set of credentials, shared by all threads."""

    def __init__(self, config: HealthOmicsConfig) -> None:
        self._config = config
        self._session: Any = None
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def omics(self) -> Any:
        """The client of HealthOmics."""
        return self._client("omics", self._make_omics)

    def s3(self) -> Any:
        """The client of S3, for outputs."""
        return self._client("s3", self._make_s3)

    def sqs(self, endpoint: str | None = None) -> Any:
        """The client of SQS, for events; where nothing else is given, at the address that the SDK has for it."""
        return self._client("sqs", lambda: self._make("sqs", endpoint))

    def forget(self) -> None:
        """Make everything anew at the next use, with the credentials that are found then."""
        with self._lock:
            self._session = None
            self._clients.clear()

    def _client(self, service: str, make: Callable[[], Any]) -> Any:
        # Sessions may not be shared between threads, clients may.
        with self._lock:
            if self._session is None:
                self._session = self._make_session()
            if service not in self._clients:
                self._clients[service] = make()
            return self._clients[service]

    def _make_session(self) -> Any:
        import boto3

        # boto3 takes half a pair without a word and signs with whatever else it finds.
        if (self._config.access_key_id is None) != (self._config.secret_access_key is None):
            raise Misconfigured("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: only one of the two is set; set both")
        for name in _TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.INFO))
        return boto3.Session(
            aws_access_key_id=self._config.access_key_id,
            aws_secret_access_key=self._config.secret_access_key,
            aws_session_token=self._config.session_token,
            region_name=self._config.region,
        )

    def _make_omics(self) -> Any:
        # HealthOmics has one host per kind of operation, as a prefix: `workflows-omics.…`.
        # An endpoint that somebody has configured is a whole address and must not get the prefix.
        options = {"inject_host_prefix": False} if self._is_overridden("omics") else {}
        client = self._make("omics", **options)
        client.meta.events.register("before-parse.omics.*", _check_body)
        return client

    def _make_s3(self) -> Any:
        options = {"s3": {"addressing_style": "path"}} if self._is_overridden("s3") else {}
        return self._make("s3", **options)

    def _is_overridden(self, service: str) -> bool:
        own = self._make(service, ignore_configured_endpoint_urls=True)
        return bool(self._make(service).meta.endpoint_url != own.meta.endpoint_url)

    def _make(self, service: str, endpoint: str | None = None, /, **options: Any) -> Any:
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
        except ValueError as error:
            raise Misconfigured(f"AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_{service.upper()}: {error}") from error


def sdk_errors() -> tuple[type[Exception], ...]:
    """What the SDK raises; for an `except` clause, so that boto3 is imported only when there is something to catch."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    return BotoCoreError, ClientError, ResponseParserError


def _check_body(response_dict: dict[str, Any], **_: object) -> None:
    """Let no broken body pass for an answer without members: botocore reads one like `{}`, an empty list of runs.

    In an answer that tells of an error, a body that is no JSON object becomes the error's message:
    botocore stumbles over some of those.
    """
    body, status = response_dict["body"], response_dict["status_code"]
    if _is_json_object(body) or (not body and status not in _WITH_BODY):
        return
    if status < 300:
        from botocore.parsers import ResponseParserError

        raise ResponseParserError("the answer is no JSON, or was cut short")
    words = body.decode("utf-8", "replace") if isinstance(body, bytes) else ""
    response_dict["body"] = json.dumps({"message": words}).encode()


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), Mapping)
    except ValueError:
        return False
