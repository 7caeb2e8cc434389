"""Hints from an Amazon SQS queue, to which EventBridge sends the events of HealthOmics.

Source of the messages' form: AWS' EventBridge events reference, `aws.omics`. Events of 2023 had neither `uuid` nor
`runId` in their detail, so both are optional here.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.connection import Connection
from wes_daemon.adapters.providers.healthomics.error_tables import ErrorKind
from wes_daemon.adapters.providers.healthomics.errors import (
    error_code,
    error_kind,
    error_message,
    sdk_errors,
)
from wes_daemon.adapters.providers.healthomics.runs import RunIdentity
from wes_daemon.application.ports.errors import ProviderError
from wes_daemon.application.ports.events import HintsUnavailable, Message, Receipt, Subject
from wes_daemon.domain.runs import ProviderRunId

T = TypeVar("T")

# The maximum values of SQS.
MAX_WAIT = timedelta(seconds=20)
_MAX_MESSAGES = 10

# The time for an answer is added to the time for which SQS waits for messages.
_ANSWER_TIMEOUT = timedelta(seconds=10)
_CONNECT_TIMEOUT = timedelta(seconds=5)

_EVENT_SOURCE = "aws.omics"
_EVENT_TYPE = "Run Status Change"
_RUN_ARN = re.compile(r"arn:[\w-]+:omics:[\w-]*:[0-9]*:run/(?P<id>[0-9]{1,18})", re.ASCII)

# Sources: AWS' list of SQS endpoints, those of China, and the names of VPC endpoints.
_STANDARD_HOST = re.compile(r"sqs\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?", re.ASCII)
_REGION_IN_HOST = re.compile(
    r"(^|\.)sqs(-fips)?\.(?P<region>[a-z]{2}(-[a-z]+)+-\d)\.|^(?P<legacy>[a-z]{2}(-[a-z]+)+-\d)\.queue\."
)


class SqsHints:
    """A `HintSource` that receives from a queue, with the credentials of the HealthOmics provider."""

    def __init__(self, url: str, config: HealthOmicsConfig, *, wait: timedelta = MAX_WAIT) -> None:
        """Send no request yet.

        Args:
            url: the queue's URL. The queue can be in another region than the runs.
            wait: how long SQS waits for a message before it answers that there is none.
        """
        region, endpoint = queue_location(url)
        self._url = url
        self._wait = wait
        self._endpoint = endpoint
        # The daemon's lease does not limit these timeouts, since a receive claims nothing.
        self._connection = Connection(
            replace(
                config,
                region=region or config.region,
                connect_timeout=_CONNECT_TIMEOUT,
                read_timeout=wait + _ANSWER_TIMEOUT,
            )
        )

    def receive(self) -> Sequence[Message]:
        answer = self._call("ReceiveMessage", self._receive)
        return [read_message(Receipt(message["ReceiptHandle"]), message.get("Body", "")) for message in answer]

    def delete(self, receipts: Collection[Receipt]) -> None:
        if not receipts:
            return
        failed = self._call("DeleteMessageBatch", lambda: self._delete(receipts))
        if failed:
            reason = failed[0].get("Message") or failed[0].get("Code") or "no reason given"
            raise HintsUnavailable(f"{self._url}: {len(failed)} of {len(receipts)} were not deleted: {reason}")

    def _receive(self) -> Sequence[Mapping[str, Any]]:
        answer = self._sqs().receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_MAX_MESSAGES,
            WaitTimeSeconds=int(self._wait.total_seconds()),
        )
        return answer.get("Messages") or ()

    def _delete(self, receipts: Collection[Receipt]) -> Sequence[Mapping[str, Any]]:
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        answer = self._sqs().delete_message_batch(QueueUrl=self._url, Entries=entries)
        return answer.get("Failed") or ()

    def _sqs(self) -> Any:
        return self._connection.sqs(self._endpoint)

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        # After an error the credentials are read again: a person may have replaced them.
        try:
            return call()
        except ProviderError as error:
            self._connection.reset()
            raise HintsUnavailable(f"{self._url}: {operation}: {error}") from error
        except sdk_errors() as error:
            self._connection.reset()
            # The SDK's message can contain signed headers: keep it out of tracebacks.
            raise self._unavailable(operation, error) from None

    def _unavailable(self, operation: str, error: Exception) -> HintsUnavailable:
        """Quote only the code if the credentials are wrong: the service's message repeats the signed headers."""
        is_secret = error_kind(error) is ErrorKind.CREDENTIALS
        reason = (error_code(error) or type(error).__name__) if is_secret else error_message(error)
        return HintsUnavailable(f"{self._url}: {operation}: {reason}; docs/events.md lists what is needed")


def queue_location(url: str) -> tuple[str | None, str | None]:
    """Return region and endpoint of a queue's URL.

    The region is None where the URL does not contain it. The endpoint is None for a standard host, where the SDK finds
    it by the region.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    match = _REGION_IN_HOST.search(host)
    region = (match["region"] or match["legacy"]) if match else None
    return region, None if _STANDARD_HOST.fullmatch(host) else f"{parts.scheme}://{parts.netloc}"


def read_message(receipt: Receipt, body: str) -> Message:
    """Read the body of a message; a body that cannot be read becomes an unreadable message, not an error."""
    try:
        event = _event_in(json.loads(body))
    # A body with thousands of nested brackets raises RecursionError.
    except (ValueError, RecursionError):
        return _unreadable(receipt, "it is not JSON")
    if event is None:
        return _unreadable(receipt, "it is not a JSON object")
    if event.get("source") != _EVENT_SOURCE or event.get("detail-type") != _EVENT_TYPE:
        return Message(receipt=receipt, subject=Subject.OTHER)
    ids = frozenset(_run_ids(event))
    if not ids:
        return _unreadable(receipt, f"a {_EVENT_TYPE} of {_EVENT_SOURCE} names no run")
    return Message(receipt=receipt, subject=Subject.RUN, ids=ids)


def _unreadable(receipt: Receipt, problem: str) -> Message:
    return Message(receipt=receipt, subject=Subject.UNREADABLE, problem=problem)


def _event_in(body: object) -> Mapping[str, Any] | None:
    """Return the event, without the envelope of an SNS topic; None if it is not a JSON object."""
    if not isinstance(body, Mapping):
        return None
    if body.get("Type") != "Notification" or "source" in body:
        return body
    event = json.loads(body["Message"]) if isinstance(body.get("Message"), str) else None
    return event if isinstance(event, Mapping) else None


def _run_ids(event: Mapping[str, Any]) -> Iterator[ProviderRunId]:
    """Yield ids with the UUID, as the daemon stores them, and bare ids, as another program may have stored them.

    The ids in ARN and detail differ in AWS' own example. A superfluous id is harmless: it causes one more request.
    """
    detail = event.get("detail")
    known = detail if isinstance(detail, Mapping) else {}
    for id in {*_ids_in_arns(event, known), *_text(known.get("runId"))}:
        for uuid in (*_text(known.get("uuid")), None):
            identity = RunIdentity(id, uuid)
            if RunIdentity.parse(identity.provider_run_id) == identity:
                yield identity.provider_run_id


def _ids_in_arns(event: Mapping[str, Any], detail: Mapping[str, Any]) -> Iterator[str]:
    resources = event.get("resources")
    for arn in (detail.get("arn"), *(resources if isinstance(resources, list) else ())):
        if isinstance(arn, str) and (match := _RUN_ARN.fullmatch(arn)):
            yield match["id"]


def _text(value: object) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
