"""HealthOmics' operations as this package uses them: each waits its turn, and fails in the port's words."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from wes_daemon.adapters.providers.healthomics.connection import Connection, sdk_errors
from wes_daemon.adapters.providers.healthomics.errors import (
    Meaning,
    asked_wait,
    code,
    is_final,
    meaning,
    quoted,
    translated,
)
from wes_daemon.application.ports.call_gate import CallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, OutcomeUnknown, Unavailable

T = TypeVar("T")
Answer = Mapping[str, Any]

_PAGE = 100
_UNKNOWN = "ResourceNotFoundException"
_DENIED = "AccessDeniedException"
_INVALID = "ValidationException"
_CONFLICT = "ConflictException"
_MENDED_OUTSIDE = (Meaning.CREDENTIALS, Meaning.DENIED, Meaning.SETUP)


class Refusal(Exception):
    """The service answered with an error that this operation's caller has to judge; it never leaves the provider."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class HealthOmicsClient:
    """HealthOmics' operations; each request passes the call gate first, is made once, and is not retried."""

    def __init__(
        self,
        connection: Connection,
        *,
        clock: Clock,
        gate: CallGate,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._gate = gate

    def members_of_start_run(self) -> Collection[str]:
        """What the installed boto3 can send with StartRun; asks nobody."""
        return self._translating("StartRun", self._members_of_start_run, doubt=NotNow)

    def start_run(self, request: Answer) -> Answer:
        """StartRun.

        Raises:
            Refusal: a repeated request, an invalid one, or one that is not allowed.
        """
        judged = (_CONFLICT, _INVALID, _UNKNOWN, _DENIED)
        return self._call("StartRun", judged=judged, doubt=OutcomeUnknown, **request)

    def start_afresh(self) -> None:
        """Read credentials and profiles anew at the next call: a person may have mended them by then."""
        self._connection.forget()

    def get_run(self, id: str) -> Answer | None:
        """GetRun; None where the service knows no such run."""
        try:
            run = self._ask("GetRun", judged=(_UNKNOWN,), id=id)
        except Refusal:
            return None
        if not run.get("status"):
            raise NotNow(f"GetRun answered without a status for run {id}")
        return run

    def cancel_run(self, id: str) -> str | None:
        """CancelRun; None when it was accepted or there is nothing to cancel, else the service's words of refusal."""
        judged = (_UNKNOWN, _CONFLICT, _INVALID)
        try:
            self._call("CancelRun", judged=judged, doubt=OutcomeUnknown, id=id)
        except Refusal as refusal:
            return None if refusal.code == _UNKNOWN else str(refusal)
        return None

    def runs_named(self, name: str) -> Iterator[Answer]:
        """ListRuns by name; whether the service compares whole names is not documented, so the caller does."""
        for page in self._pages("ListRuns", name=name):
            yield from page

    def page_of_runs(self, token: str | None, *, status: str | None = None) -> tuple[Collection[Answer], str | None]:
        """ListRuns of one status or of every one: a page, and the token of the next one; None asks for the first."""
        choice = {"startingToken": token, "status": status}
        page = self._ask("ListRuns", maxResults=_PAGE, **{name: value for name, value in choice.items() if value})
        return page.get("items") or (), page.get("nextToken") or None

    def tasks(self, id: str) -> Iterator[Answer]:
        """ListRunTasks, in no promised order."""
        for page in self._pages("ListRunTasks", id=id):
            yield from page

    def get_task(self, id: str, task_id: str) -> Answer:
        """GetRunTask; only the reason for there being nothing where it may not be asked or knows no such task."""
        try:
            return self._call("GetRunTask", judged=(_UNKNOWN, _DENIED, _INVALID), id=id, taskId=task_id)
        except Refusal as refusal:
            return {"statusMessage": f"GetRunTask: {refusal}"}

    def read_object(self, bucket: str, key: str, *, longest: int) -> bytes:
        """GetObject of S3, at most `longest` bytes and one more.

        Raises:
            Refusal: there is no such object, or it may not be read.
        """

        def read() -> bytes:
            body = self._connection.s3().get_object(Bucket=bucket, Key=key)["Body"]
            try:
                return bytes(body.read(longest + 1))
            finally:
                body.close()

        def judged_read() -> bytes:
            try:
                return read()
            except sdk_errors() as error:
                if is_final(error):
                    raise Refusal(code(error), quoted(error)) from error
                raise

        self._gate.acquire("GetObject")
        try:
            return self._translating("GetObject", judged_read, doubt=NotNow)
        except Unavailable as error:
            # S3 is another service: that it is away says nothing of HealthOmics.
            raise NotNow(str(error), retry_after=error.retry_after) from error

    def _pages(self, operation: str, **request: Any) -> Iterator[Collection[Answer]]:
        page = self._ask(operation, maxResults=_PAGE, **request)
        yield page.get("items") or ()
        # Tokens are opaque; one that comes back would lead in a circle.
        seen: set[str] = set()
        while (token := page.get("nextToken")) and token not in seen:
            seen.add(token)
            page = self._ask(operation, maxResults=_PAGE, startingToken=token, **request)
            yield page.get("items") or ()

    def _ask(self, operation: str, *, judged: Collection[str] = (), **request: Any) -> Answer:
        """Call for an answer without which nothing follows: that a question is invalid says nothing of the run."""
        try:
            return self._call(operation, judged=(*judged, _INVALID), **request)
        except Refusal as refusal:
            if refusal.code in judged:
                raise
            raise NotNow(f"{operation} was refused: {refusal}") from refusal

    def _call(
        self,
        operation: str,
        *,
        judged: Collection[str] = (),
        doubt: type[OutcomeUnknown] | type[NotNow] = NotNow,
        **request: Any,
    ) -> Answer:
        def call() -> Answer:
            from botocore import xform_name

            answer: Answer = getattr(self._connection.omics(), xform_name(operation))(**request)
            return answer

        self._gate.acquire(operation)
        return self._translating(operation, call, judged=judged, doubt=doubt)

    def _translating(
        self,
        operation: str,
        call: Callable[[], T],
        *,
        judged: Collection[str] = (),
        doubt: type[OutcomeUnknown] | type[NotNow],
    ) -> T:
        try:
            return call()
        except sdk_errors() as error:
            self._obey(error, operation)
            if code(error) in judged:
                raise Refusal(code(error), quoted(error)) from error
            if meaning(error) in _MENDED_OUTSIDE:
                self.start_afresh()
            known = translated(error, operation, doubt=doubt, now=self._clock.now())
            if known is None:
                raise
            # What a service says of a wrong signature repeats the signed headers, which no traceback may show.
            raise known from (None if meaning(error) is Meaning.CREDENTIALS else error)

    def _obey(self, error: Exception, operation: str) -> None:
        now = self._clock.now()
        if wait := asked_wait(error, now):
            self._gate.block_until(now + wait, operation)
        if meaning(error) is Meaning.THROTTLED:
            self._gate.throttled(operation)

    def _members_of_start_run(self) -> Collection[str]:
        model = self._connection.omics().meta.service_model.operation_model("StartRun")
        return frozenset(model.input_shape.members)
