"""Messages in a queue of Amazon SQS."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from wes_daemon.adapters.events.messages import read_message
from wes_daemon.adapters.events.queue_address import QueueAddress
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.connection import Connection, sdk_errors
from wes_daemon.adapters.providers.healthomics.errors import Meaning, code, meaning, quoted
from wes_daemon.application.ports.errors import Misconfigured
from wes_daemon.application.ports.events import HintsUnavailable, Message, Receipt

T = TypeVar("T")

# What SQS allows at most, of both.
LONGEST_WAIT = timedelta(seconds=20)
_MOST_MESSAGES = 10

_ANSWERS_WITHIN = timedelta(seconds=10)
_CONNECTS_WITHIN = timedelta(seconds=5)


class SqsHints:
    """A `HintSource` that waits at a queue, with the credentials with which runs are started."""

    def __init__(self, url: str, config: HealthOmicsConfig, *, wait: timedelta = LONGEST_WAIT) -> None:
        """Do nothing yet.

        Args:
            url: of the queue; its region is that of the queue, whichever the runs are in.
            wait: how long the service keeps a question while there is no message.
        """
        address = QueueAddress.of(url)
        self._url = url
        self._wait = wait
        self._endpoint = address.endpoint
        # No lease ends these waits: nothing is claimed by them.
        self._connection = Connection(
            replace(
                config,
                region=address.region or config.region,
                connect_timeout=_CONNECTS_WITHIN,
                read_timeout=wait + _ANSWERS_WITHIN,
            )
        )

    def receive(self) -> Sequence[Message]:
        """As the port says."""
        answer = self._called("ReceiveMessage", lambda: self._receive())
        return [read_message(Receipt(each["ReceiptHandle"]), each.get("Body", "")) for each in answer]

    def delete(self, receipts: Collection[Receipt]) -> None:
        """As the port says."""
        if not receipts:
            return
        failed = self._called("DeleteMessageBatch", lambda: self._delete(receipts))
        if failed:
            words = failed[0].get("Message") or failed[0].get("Code") or "no reason given"
            raise HintsUnavailable(f"{self._url}: {len(failed)} of {len(receipts)} were not deleted: {words}")

    def _receive(self) -> Sequence[Mapping[str, Any]]:
        answer = self._sqs().receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_MOST_MESSAGES,
            WaitTimeSeconds=int(self._wait.total_seconds()),
        )
        return answer.get("Messages") or ()

    def _delete(self, receipts: Collection[Receipt]) -> Sequence[Mapping[str, Any]]:
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        answer = self._sqs().delete_message_batch(QueueUrl=self._url, Entries=entries)
        return answer.get("Failed") or ()

    def _sqs(self) -> Any:
        return self._connection.sqs(self._endpoint)

    def _called(self, operation: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except Misconfigured as error:
            self._connection.forget()
            raise HintsUnavailable(f"{self._url}: {operation}: {error}") from error
        except sdk_errors() as error:
            # Credentials and permissions may be mended by the next time.
            self._connection.forget()
            raise self._explained(operation, error) from None

    def _explained(self, operation: str, error: Exception) -> HintsUnavailable:
        """What the service says of a wrong signature repeats the signed headers: then its name alone is told."""
        secret = meaning(error) is Meaning.CREDENTIALS
        words = (code(error) or type(error).__name__) if secret else quoted(error)
        return HintsUnavailable(f"{self._url}: {operation}: {words}; docs/events.md says what is needed")
