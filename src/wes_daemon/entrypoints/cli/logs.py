"""The log: its targets and its format. No text can forge a line of the log, and no secret appears in it."""

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from types import TracebackType
from typing import TextIO
from urllib.parse import quote

from wes_daemon.entrypoints.cli.errors import is_terminal, one_line

_PACKAGE = "wes_daemon"
_CONTINUATION = "  | "
_SHORTEST_SECRET = 4
_QUOTED_BREAK = re.compile(r"(?<!\\)((?:\\\\)*)\\n")

_log = logging.getLogger(__name__)


class SecretHider:
    """Replaces secrets by `***`, also where a text contains them as JSON or as a part of a URL.

    Secrets of less than four characters stay: hidden within other words, they could be read from what is left of these.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        hidden = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
        spellings = {spelling for secret in hidden for spelling in _spellings(secret)}
        # The longest first: a secret may be a part of another.
        self._spellings = sorted(spellings, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for spelling in self._spellings:
            text = text.replace(spelling, "***")
        return text


class LineFormatter(logging.Formatter):
    """`2026-11-23T05:30:00.123Z INFO event key=value …`; the lines of a traceback follow, each with a prefix."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        super().__init__()
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of one record, and the lines of its traceback."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        source = "" if _is_ours(record.name) else f"{record.name}: "
        first, *others = self._message_lines(record, self._hide(record.getMessage()))
        head = f"{at} {record.levelname} {source}{one_line(first)}"
        return "\n".join([head, *(f"{_CONTINUATION}{one_line(line)}" for line in (*others, *self._trace(record)))])

    def _message_lines(self, record: logging.LogRecord, message: str) -> list[str]:
        """Return the lines of a message: a log that programs read has one line for each."""
        del record
        return [message]

    def _trace(self, record: logging.LogRecord) -> list[str]:
        parts = ["".join(traceback.format_exception(record.exc_info[1]))] if record.exc_info else []
        parts += [record.stack_info] if record.stack_info else []
        return [line for part in parts for line in self._hide(part).rstrip("\n").split("\n")]


class TerminalFormatter(LineFormatter):
    """As `LineFormatter`; a message of several lines is shown as lines, each with the prefix that marks them."""

    def _message_lines(self, record: logging.LogRecord, message: str) -> list[str]:
        # The values of an event are quoted as JSON, which writes a line break as `\\n` and a backslash as two.
        return (_QUOTED_BREAK.sub(r"\1\n", message) if _is_ours(record.name) else message).split("\n")


def set_up_logging(*, stream: TextIO, level: str, file: Path | None = None, hide: Callable[[str], str] = str) -> None:
    """Log to `stream`, and to `file` if given, instead of the previous targets. Other packages log warnings only.

    Raises:
        ConfigurationError: the file cannot be opened.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    handlers[0].setFormatter(TerminalFormatter(hide) if is_terminal(stream) else LineFormatter(hide))
    if file is not None:
        handlers.append(_file_handler(file))
        handlers[-1].setFormatter(LineFormatter(hide))
    root = logging.getLogger()
    for former in [handler for handler in root.handlers if isinstance(handler.formatter, LineFormatter)]:
        root.removeHandler(former)
        former.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(logging.INFO if level == "DEBUG" else logging.WARNING)
    logging.getLogger(_PACKAGE).setLevel(level)


def log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log a bug with its traceback, escaped and without secrets; a `sys.excepthook`."""
    if not logging.getLogger().handlers:
        set_up_logging(stream=sys.stderr, level="WARNING")
    _log.critical("bug: please report it with the following lines", exc_info=(kind, error, trace))


def log_uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    """Log a bug in a thread; a `threading.excepthook`."""
    if uncaught.exc_value is not None:
        log_uncaught(uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)


def _spellings(secret: str) -> set[str]:
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe=""), quote(secret)} - {""}


def _is_ours(logger: str) -> bool:
    return logger == _PACKAGE or logger.startswith(f"{_PACKAGE}.")


def _file_handler(path: Path) -> logging.Handler:
    try:
        # Opens a new file if log rotation has moved the old one away.
        return WatchedFileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        from wes_daemon.bootstrap.setting_problems import ConfigurationError

        raise ConfigurationError(
            f"--log-file/DAEMON_LOG_FILE: {path} cannot be written to: {error.strerror}. "
            "Name a file in a folder that exists and may be written to."
        ) from error
