"""Logs of runs and tasks: addresses, texts where addresses belong, and the lines that say why a run failed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urljoin

from wes_daemon.adapters.json_values import as_object, as_objects, as_text
from wes_daemon.adapters.providers.wes.client import WesClient, as_integer, as_texts
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.errors import Failure

MAX_WORDS = 2000
"""Characters of the longest explanation. The end is kept, because the cause of a failure is at the end of a log."""

_END_OF_LOG = 100_000
_MAX_ADDRESS = 2000
# WES defines exit codes as int32.
_MAX_EXIT_CODE = 2**31 - 1
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://\S+")
_RELATIVE = re.compile(r"(?:\.{0,2}/)+[^\s<>\"]+")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Records of a log that report progress: `INFO …`, `[2026-11-28 15:00:00] DEBUG …`, Toil's `[…] [I] [toil.x] …`.
_PROGRESS = re.compile(
    r"\s*(?:(?:\[?\d{4}-\d\d-\d\d[T ][\d:.,+Z\-]+\]?)\s*)?(?:\[[\w.\-]+\]\s*)*(?:(?:INFO|DEBUG|TRACE)\b|\[[ID]\])"
)
_NO_CONTENT = frozenset({"", "{}", "[]", "null"})


def address(value: object, url: str) -> str | None:
    """Return the absolute address of a log; None if the server gave none, or the log's text in its place.

    Args:
        url: the address from which the value was read.
    """
    text = as_text(value).strip()
    if not text or len(text) > _MAX_ADDRESS or "\n" in text:
        return None
    if _SCHEME.fullmatch(text):
        return text
    return urljoin(url, text) if _RELATIVE.fullmatch(text) else None


def text_in_place(value: object, url: str) -> str:
    """Return the log's text, if the server gave it in place of an address; else an empty text."""
    return "" if address(value, url) else as_text(value)


class FailureWords:
    """Finds the words that explain a failure."""

    def __init__(self, client: WesClient, config: WesConfig) -> None:
        self._client = client
        self._config = config

    def explain(self, log: Mapping[str, object], url: str) -> str:
        """Return why a run failed, without secrets and of limited length; costs at most two calls.

        The server's own explanation comes first, then the end of the failed task's or the run's error output.

        Args:
            log: the run log of a failed run.
            url: the address from which it was read.
        """
        run_log = as_object(log.get("run_log"))
        told = [*as_texts(run_log.get("system_logs")), *self._output_words(log, run_log, url)]
        ended = _exit(run_log)
        text = "\n".join(dict.fromkeys(told))
        if ended and ended not in text:
            text = f"{ended}: {text}" if text else ended
        return shorten(self._client.public(text)) or "the server gave no reason"

    def _output_words(self, log: Mapping[str, object], run_log: Mapping[str, object], url: str) -> Iterator[str]:
        logs = [run_log, *_failed_tasks(log)][:2]
        for each in logs:
            if words := telling_lines(self._end_of(each.get("stderr"), url)):
                yield words
                return

    def _end_of(self, value: object, url: str) -> str:
        """Return the end of a log. An address of another host is not fetched: the credential stays here."""
        where = address(value, url)
        if where is None:
            return as_text(value)[-_END_OF_LOG:]
        if not self._config.is_same_server(where):
            return ""
        try:
            return self._client.end_of_log(where, _END_OF_LOG)
        except Failure as failure:
            # The run's end is reported without these words, rather than not at all.
            return f"its log could not be read: {failure}"


def telling_lines(text: str) -> str:
    """Return the end of a log without the records that report progress, repeated lines, colours and blank lines.

    Toil writes the log of a failed job twice, and cwltool the command of a step in several lines.
    """
    lines: list[str] = []
    is_progress = False
    for line in _COLOURS.sub("", text).splitlines():
        is_progress = bool(_PROGRESS.match(line)) or (is_progress and line.lstrip("\t").startswith("    "))
        if not is_progress and line.strip() not in _NO_CONTENT:
            lines.append(line.rstrip())
    last_of_each = list(dict.fromkeys(reversed(lines)))
    return shorten("\n".join(reversed(last_of_each)))


def shorten(text: str) -> str:
    """Return the text, or its last lines that fit; a longer last line loses its beginning."""
    if len(text) <= MAX_WORDS:
        return text
    end = text[-MAX_WORDS:]
    return f"… {end.partition(chr(10))[2] or end}"


def exit_code(log: Mapping[str, object]) -> int | None:
    """Return the exit code; None if there is none, or a negative number, with which wes-service says the same."""
    code = as_integer(log.get("exit_code"))
    return code if code is not None and 0 <= code <= _MAX_EXIT_CODE else None


def _exit(run_log: Mapping[str, object]) -> str:
    code = exit_code(run_log)
    return f"exited {code}" if code else ""


def _failed_tasks(log: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
    return [task for task in as_objects(log.get("task_logs")) if exit_code(task)]
