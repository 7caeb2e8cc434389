"""Calls to the WES API with one credential, and readers for its JSON, which servers fill in differently."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wes_daemon.adapters.json_values import as_object, as_objects, as_text
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.errors import Failure, FailureKind
from wes_daemon.adapters.retry_after import retry_at
from wes_daemon.application.ports.call_gate import CallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured
from wes_daemon.domain.addresses import public_url

if TYPE_CHECKING:
    from wes_daemon.adapters.providers.wes.transport import Answer, Transport

PAGE = 100
"""Runs or tasks of one page. Servers may send fewer, and some send all."""

# A longer Retry-After is shortened to this.
_MAX_BLOCK = timedelta(minutes=15)
# For a 429 without a usable time: short enough to lose little, long enough not to spin.
_DEFAULT_BLOCK = timedelta(seconds=10)
_NO_SUCH_RANGE = 416
_MAX_WORDS = 500
_WORDS = ("msg", "message", "detail", "title", "error", "error_description")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s'\"<>()\[\],;]+")
# An id with a slash, or one that is a relative path, would name another resource.
_RUN_ID = re.compile(r"(?!\.{1,2}$)[^\s/\\\x00-\x1f\x7f]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """One page of the server's list of runs.

    Attributes:
        runs: as the server sent them; each has a `run_id`.
        following: the token of the next page; None after the last page.
    """

    runs: Sequence[Mapping[str, object]]
    following: str | None


class WesClient:
    """Calls the API with one credential. Safe to use from several threads.

    Each method asks the call gate first.
    It raises `Failure` if its call fails, and `NotNow` if the call gate refuses the call.
    """

    def __init__(self, config: WesConfig, *, clock: Clock, gate: CallGate) -> None:
        self._config = config
        self._clock = clock
        self._gate = gate
        self._transport: Transport | None = None
        self._reloads = 0
        self._lock = threading.Lock()

    def service_info(self) -> Mapping[str, object]:
        """Return what the server says about itself."""
        return self._get("GetServiceInfo", "/service-info")

    def run_log(self, id: str) -> Mapping[str, object]:
        """Return everything that the server says about a run but its tasks, which may be in it."""
        return self._get("GetRunLog", run_path(id))

    def run_status(self, id: str) -> Mapping[str, object]:
        """Return a run's id and state."""
        return self._get("GetRunStatus", f"{run_path(id)}/status")

    def page_of_runs(self, token: str | None) -> RunPage:
        """Return one page of the list of runs; `token` is the one of the page before.

        Servers name the list `runs`, older ones `workflows`. The end is an empty token, null or none.
        """
        answer = self._get("ListRuns", "/runs", {"page_size": PAGE, **({"page_token": token} if token else {})})
        items = answer.get("runs") or answer.get("workflows")
        return RunPage(runs=[run for run in as_objects(items) if as_text(run.get("run_id"))], following=_next(answer))

    def tasks(self, id: str) -> Iterator[Mapping[str, object]]:
        """Yield the tasks of a run, page by page; a token that is repeated ends the list."""
        token: str | None = None
        seen: set[str | None] = set()
        while token not in seen:
            seen.add(token)
            params = {"page_size": PAGE, **({"page_token": token} if token else {})}
            answer = self._get("ListTasks", f"{run_path(id)}/tasks", params)
            yield from as_objects(answer.get("task_logs"))
            token = _next(answer)
            if token is None:
                return

    def run_workflow(self, form: Sequence[tuple[str, Any]], *, key: str) -> Mapping[str, object]:
        """Send a request to run a workflow; the answer names the run."""
        return self._post("RunWorkflow", "/runs", {"Idempotency-Key": key}, form)

    def cancel(self, id: str) -> None:
        """Ask the server to cancel a run."""
        self._post("CancelRun", f"{run_path(id)}/cancel", {}, ())

    def end_of_log(self, url: str, limit: int) -> str:
        """Return the last `limit` bytes of a log at an address of this server."""
        answer = self._call("GetLog", lambda transport: transport.get_end(url, limit, only_end=True))
        if answer.status == _NO_SUCH_RANGE or answer.status >= 500:
            # A text that is shorter than the range: werkzeug answers 416, and Toil turns that into 500.
            answer = self._call("GetLog", lambda transport: transport.get_end(url, limit, only_end=False))
        if not answer.is_success:
            raise self._refused(answer, is_write=False)
        return answer.body.decode(errors="replace")

    def public(self, text: str) -> str:
        """Return the text without the credential, without secrets in addresses, and as every database can hold it."""
        for secret in self._config.secrets:
            text = text.replace(secret, "***")
        text = text.replace("\0", "").encode(errors="replace").decode()
        return _ADDRESS.sub(lambda found: public_url(found[0]), text)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            if self._transport:
                self._transport.close()
            self._transport = None

    def _get(self, operation: str, path: str, params: Mapping[str, object] | None = None) -> Mapping[str, object]:
        url = self._config.base_url + path
        answer = self._call(operation, lambda transport: transport.get(url, params))
        return self._object(answer, is_write=False)

    def _post(
        self, operation: str, path: str, headers: Mapping[str, str], parts: Sequence[tuple[str, Any]]
    ) -> Mapping[str, object]:
        url = self._config.base_url + path
        answer = self._call(operation, lambda transport: transport.post(url, headers=headers, parts=parts))
        return self._object(answer, is_write=True)

    def _call(self, operation: str, send: Callable[["Transport"], "Answer"]) -> "Answer":
        self._get_transport()
        self._gate.acquire(operation)
        transport, reloads = self._get_transport(), self._reloads
        answer = send(transport)
        self._report_to_gate(operation, answer)
        if answer.status == 401 and self._config.read_secret is not None:
            # The server did not process the call. The next one uses the new credential, if there is one.
            raise self._refused(answer, is_write=True).with_note(self._reload_secret(reloads))
        return answer

    def _object(self, answer: "Answer", *, is_write: bool) -> Mapping[str, object]:
        if not answer.is_success:
            raise self._refused(answer, is_write=is_write)
        found = _json(answer.body)
        if isinstance(found, Mapping):
            return found
        if _is_page(answer):
            message = "answered with an HTML page: check that WES_ENDPOINT is the API's address, and the proxy"
            raise Failure(FailureKind.NOT_THE_API, message, is_write=is_write, status=answer.status)
        message = "answered with something other than a JSON object"
        raise Failure(FailureKind.NO_ANSWER, message, is_write=is_write, status=answer.status)

    def _refused(self, answer: "Answer", *, is_write: bool) -> Failure:
        found = _json(answer.body)
        words = self.public(_words(found, answer))
        return Failure(
            FailureKind.REFUSED,
            f"answered with an error{f': {words}' if words else ''}",
            is_write=is_write,
            status=answer.status,
            retry_after=self._retry_after(answer),
            has_wes_body=isinstance(found, Mapping),
        )

    def _report_to_gate(self, operation: str, answer: "Answer") -> None:
        if answer.status not in (429, 503):
            return
        if answer.status == 429:
            self._gate.throttled(operation)
        wait = self._retry_after(answer) or (_DEFAULT_BLOCK if answer.status == 429 else None)
        if wait is not None:
            reason = f"the WES server answered HTTP {answer.status} and asked for no calls"
            self._gate.block_until(self._clock.now() + wait, reason=reason)

    def _retry_after(self, answer: "Answer") -> timedelta | None:
        now = self._clock.now()
        at = retry_at(answer.headers.get("Retry-After"), now)
        return min(at - now, _MAX_BLOCK) if at and at > now else None

    def _reload_secret(self, reloads: int) -> str:
        """Read the credential again, and return what has become of it. One of several refused threads reads it.

        Args:
            reloads: how often the credential had been read again when the refused call began.
        """
        with self._lock:
            if self._reloads != reloads or self._config.read_secret is None:
                return "the credential was read again meanwhile"
            self._reloads += 1
            try:
                config = self._config.with_secret(self._config.read_secret())
            except Misconfigured as error:
                return f"the credential could not be read again: {error}"
            if config.authorization == self._config.authorization:
                return "the credential was read again and is the same"
            # Calls of other threads may still use the former connections, so these are not closed here.
            self._config, self._transport = config, None
            return "the credential was read again and has changed: the next call uses the new one"

    def _get_transport(self) -> "Transport":
        with self._lock:
            if self._transport is None:
                # Only processes that use this provider pay for the import.
                from wes_daemon.adapters.providers.wes.transport import Transport

                self._transport = Transport(self._config, self._clock.monotonic)
            return self._transport


def run_path(id: str) -> str:
    """Return the path of a run below the API's address."""
    return f"/runs/{quote(id, safe='')}"


def is_run_id(id: str) -> bool:
    """Whether a server can be asked about a run with this id."""
    return _RUN_ID.fullmatch(id) is not None


def as_texts(value: object) -> Sequence[str]:
    """Return the texts of a JSON array that are not blank, or one text; none for a value of another type."""
    texts = value if isinstance(value, list) else [value]
    return [text.strip() for text in texts if isinstance(text, str) and text.strip()]


def as_integer(value: object) -> int | None:
    """Return the integer, also from its digits in a text; None for any other value."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_time(value: object) -> datetime | None:
    """Return the time in UTC; None for a value that is not a time. A time without a zone is UTC."""
    try:
        time = datetime.fromisoformat(as_text(value).strip())
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _next(answer: Mapping[str, object]) -> str | None:
    token = answer.get("next_page_token")
    return str(token) if isinstance(token, str | int) and not isinstance(token, bool) and str(token).strip() else None


def _words(found: object, answer: "Answer") -> str:
    """Return what the server says about an error, in one line; empty if it says nothing that a person can read."""
    body = as_object(found)
    text = next((as_text(body.get(name)) or _as_json(body.get(name)) for name in _WORDS if body.get(name)), "")
    if not body:
        if _is_page(answer):
            return "an HTML page, which may come from a proxy or from another web site"
        text = answer.body[: 4 * _MAX_WORDS].decode(errors="replace")
    text = " ".join(text.split())
    return text if len(text) <= _MAX_WORDS else f"{text[:_MAX_WORDS]}…"


def _is_page(answer: "Answer") -> bool:
    return answer.body.lstrip()[:1] == b"<" or "text/html" in answer.headers.get("Content-Type", "").lower()


def _as_json(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else ""


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
