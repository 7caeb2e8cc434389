"""Why a run failed, for a person: the tool's own words, else cwltool's, without the noise of its log."""

import re
from collections.abc import Sequence
from pathlib import Path

from wes_daemon.adapters.providers.local.journal import Step
from wes_daemon.domain.addresses import public_url, without_secrets_of

LONGEST = 2000
"""Characters of a message; what matters of a log is at its end."""

_RECORD = re.compile(r"^\[\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\] (?P<level>[A-Z]+) (?P<words>.*)$")
# cwltool breaks long lines and indents what follows deeply.
_WRAPPED = re.compile(r"\n {16,}")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s'\"<>()\[\],;]+")
_TRY_AGAIN = re.compile(r", try again with --debug for more information")


def complaint(steps: Sequence[Step], folder: Path, log: str) -> str:
    """Why cwltool did not end well.

    Args:
        folder: where the steps' logs lie.
        log: cwltool's stderr.
    """
    failed = [step for step in steps if step.has_failed and step.exit_code not in (None, 0)]
    if not failed:
        # The document, its inputs or a missing output are at fault; only cwltool says which.
        return cut(cwltool_words(log))
    first = min(failed, key=lambda step: (step.ended_at or step.started_at, step.number))
    more = f" (and {len(failed) - 1} more failed)" if len(failed) > 1 else ""
    words = _tool_words(first, folder)
    return f"{first.name} {exit_words(first.exit_code)}{more}{': ' if words else ''}{words}"


def cwltool_words(log: str) -> str:
    """The errors of a log by cwltool, each with its continuation lines; the end of the log when it has none."""
    words: list[str] = []
    wanted = False
    for line in log.splitlines():
        if record := _RECORD.match(line):
            wanted, line = record["level"] in ("ERROR", "CRITICAL"), record["words"]
        if wanted:
            words.append(_TRY_AGAIN.sub("", line))
    return _WRAPPED.sub(" ", "\n".join(words)).strip() or cut(log.strip())


def without_secrets(words: str, document: str) -> str:
    """The words with what may be secret in addresses hidden; `document` is the workflow's own address."""
    return without_secrets_of(document, _ADDRESS.sub(lambda found: public_url(found[0]), words))


def exit_words(code: int | None) -> str:
    """What became of a process, in words; `code` as `subprocess` gives it."""
    if code is None:
        return "ended"
    return f"exited {code}" if code >= 0 else f"was killed by signal {-code}"


def cut(text: str, longest: int = LONGEST) -> str:
    """The end of a text, in whole lines where it has to be shortened."""
    if len(text) <= longest:
        return text
    end = text[-longest:]
    return f"… {end.partition(chr(10))[2] or end}"


def read_end(path: Path) -> str:
    """The end of a log file; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 100_000))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _tool_words(step: Step, folder: Path) -> str:
    for log in (step.stderr, step.stdout):
        if words := read_end(folder / log).strip():
            return cut(words)
    return ""
