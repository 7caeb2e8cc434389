"""The HealthOmics operations that this package uses: each request passes the call gate and is sent once."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from wes_daemon.adapters.providers.healthomics.connection import Connection
from wes_daemon.adapters.providers.healthomics.engine_parameters import PARAMETERS_URI
from wes_daemon.adapters.providers.healthomics.error_tables import ErrorKind
from wes_daemon.adapters.providers.healthomics.errors import (
    error_code,
    error_kind,
    error_message,
    is_permanent_s3_refusal,
    may_show_secrets,
    retry_after,
    sdk_errors,
    service_message,
    translate,
    without_values,
)
from wes_daemon.application.ports.call_gate import CallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, OutcomeUnknown, Unavailable

T = TypeVar("T")
Answer = Mapping[str, Any]

_PAGE_SIZE = 100
_NOT_FOUND = "ResourceNotFoundException"
_DENIED = "AccessDeniedException"
_INVALID = "ValidationException"
_CONFLICT = "ConflictException"
# A person may have replaced the credentials before the next call.
_RELOAD_CREDENTIALS_AFTER = (ErrorKind.CREDENTIALS, ErrorKind.DENIED, ErrorKind.SETUP)


class Refusal(Exception):
    """An error response whose meaning depends on the operation; its caller handles it inside the provider."""

    def __init__(self, code: str, message: str, text: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.text = text or message
        """The service's own text, complete and without the code."""


class HealthOmicsClient:
    """Sends one request per operation and page, without retries, and raises the port's errors.

    Only `start_run` and `cancel_run` raise `OutcomeUnknown`. The other operations read and can be repeated: an unknown
    outcome is `NotNow`.
    """

    def __init__(self, connection: Connection, *, clock: Clock, gate: CallGate) -> None:
        self._connection = connection
        self._clock = clock
        self._gate = gate

    def start_run_members(self) -> Collection[str]:
        """Return the members of StartRun's request that the installed boto3 can send; sends no request."""
        return self._translating_errors("StartRun", self._start_run_members, when_unknown=NotNow)

    def start_run(self, request: Answer) -> Answer:
        """Call StartRun.

        Raises:
            Refusal: the request is repeated, invalid or not allowed.
        """
        handled = (_CONFLICT, _INVALID, _NOT_FOUND, _DENIED)
        hidden = [request[PARAMETERS_URI]] if PARAMETERS_URI in request else []
        return self._call("StartRun", handled=handled, when_unknown=OutcomeUnknown, hidden=hidden, **request)

    def reload_credentials(self) -> None:
        """Read credentials and profiles again at the next call."""
        self._connection.reset()

    def get_run(self, id: str) -> Answer | None:
        """Call GetRun; None for an unknown run."""
        try:
            run = self._read("GetRun", handled=(_NOT_FOUND,), id=id)
        except Refusal:
            return None
        if not run.get("status"):
            raise NotNow(f"GetRun answered without a status for run {id}")
        return run

    def cancel_run(self, id: str) -> str | None:
        """Call CancelRun; return the message of a refusal, or None if it was accepted or the run is unknown."""
        handled = (_NOT_FOUND, _CONFLICT, _INVALID)
        try:
            self._call("CancelRun", handled=handled, when_unknown=OutcomeUnknown, id=id)
        except Refusal as refusal:
            return None if refusal.code == _NOT_FOUND else str(refusal)
        return None

    def runs_named(self, name: str) -> Iterator[Answer]:
        """Call ListRuns with a name; whether the service matches whole names is not documented."""
        for page in self._pages("ListRuns", name=name):
            yield from page

    def page_of_runs(self, token: str | None, status: str | None = None) -> tuple[Collection[Answer], str | None]:
        """Call ListRuns, for one status or for all; return a page and the token of the next page.

        Args:
            token: None requests the first page.
        """
        filters = {"startingToken": token, "status": status}
        page = self._read(
            "ListRuns", maxResults=_PAGE_SIZE, **{name: value for name, value in filters.items() if value}
        )
        return page.get("items") or (), page.get("nextToken") or None

    def tasks(self, id: str) -> Iterator[Answer]:
        """Call ListRunTasks; the order is not specified."""
        for page in self._pages("ListRunTasks", id=id):
            yield from page

    def get_task(self, id: str, task_id: str) -> Answer:
        """Call GetRunTask; if it is refused, return an answer that contains only the reason, as `statusMessage`."""
        try:
            return self._call("GetRunTask", handled=(_NOT_FOUND, _DENIED, _INVALID), id=id, taskId=task_id)
        except Refusal as refusal:
            return {"statusMessage": f"GetRunTask: {refusal}"}

    def read_object(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Call GetObject of S3. Of an object that is longer than `max_bytes`, return one byte more than that.

        Raises:
            Refusal: the object does not exist, or reading it is not allowed.
        """
        self._gate.acquire("GetObject")
        try:
            return self._translating_errors(
                "GetObject", lambda: self._get_object(bucket, key, max_bytes + 1), when_unknown=NotNow
            )
        except Unavailable as error:
            # S3 is another service: its outage is not an outage of HealthOmics.
            raise NotNow(str(error), retry_after=error.retry_after) from error

    def _get_object(self, bucket: str, key: str, size: int) -> bytes:
        try:
            body = self._connection.s3().get_object(Bucket=bucket, Key=key)["Body"]
            try:
                return bytes(body.read(size))
            finally:
                body.close()
        except sdk_errors() as error:
            if is_permanent_s3_refusal(error):
                raise Refusal(error_code(error), error_message(error)) from error
            raise

    def _pages(self, operation: str, **request: Any) -> Iterator[Collection[Answer]]:
        page = self._read(operation, maxResults=_PAGE_SIZE, **request)
        yield page.get("items") or ()
        # Tokens are opaque; a repeated token would cause an endless loop.
        seen: set[str] = set()
        while (token := page.get("nextToken")) and token not in seen:
            seen.add(token)
            page = self._read(operation, maxResults=_PAGE_SIZE, startingToken=token, **request)
            yield page.get("items") or ()

    def _read(self, operation: str, *, handled: Collection[str] = (), **request: Any) -> Answer:
        """Call an operation that only reads. An invalid request is `NotNow`: it proves nothing about the run."""
        try:
            return self._call(operation, handled=(*handled, _INVALID), **request)
        except Refusal as refusal:
            if refusal.code in handled:
                raise
            raise NotNow(f"{operation} was refused: {refusal}") from refusal

    def _call(
        self,
        operation: str,
        *,
        handled: Collection[str] = (),
        when_unknown: type[OutcomeUnknown] | type[NotNow] = NotNow,
        hidden: Collection[str] = (),
        **request: Any,
    ) -> Answer:
        """Send one request; error codes in `handled` raise `Refusal`.

        Args:
            hidden: values of the request that no error may repeat.
        """

        def call() -> Answer:
            from botocore import xform_name

            answer: Answer = getattr(client, xform_name(operation))(**request)
            return answer

        # Before the gate checks the lease: the credentials may have to be renewed, which takes requests of its own.
        client = self._translating_errors(operation, self._connection.omics, when_unknown=NotNow)
        self._gate.acquire(operation)
        return self._translating_errors(operation, call, handled=handled, when_unknown=when_unknown, hidden=hidden)

    def _translating_errors(
        self,
        operation: str,
        call: Callable[[], T],
        *,
        handled: Collection[str] = (),
        when_unknown: type[OutcomeUnknown] | type[NotNow],
        hidden: Collection[str] = (),
    ) -> T:
        try:
            return call()
        except sdk_errors() as raised:
            error = without_values(raised, hidden)
            self._report_limits(error, operation)
            if error_code(error) in handled:
                raise Refusal(error_code(error), error_message(error), service_message(error)) from error
            if error_kind(error) in _RELOAD_CREDENTIALS_AFTER:
                self.reload_credentials()
            translated = translate(error, operation, when_unknown=when_unknown, now=self._clock.now())
            if translated is None:
                raise error from None
            # For example, a service's message about a wrong signature repeats the signed headers.
            raise translated from (None if may_show_secrets(error) else error)

    def _report_limits(self, error: Exception, operation: str) -> None:
        now = self._clock.now()
        if wait := retry_after(error, now):
            self._gate.block_until(now + wait, operation, reason=f"AWS HealthOmics asked for no {operation}")
        if error_kind(error) is ErrorKind.THROTTLED:
            self._gate.throttled(operation)

    def _start_run_members(self) -> Collection[str]:
        model = self._connection.omics().meta.service_model.operation_model("StartRun")
        return frozenset(model.input_shape.members)
