"""Failure messages: why a run failed, from the output of the failed tool or from cwltool's log."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from wes_daemon.adapters.providers.local.journal import Step
from wes_daemon.domain.addresses import public_url, without_secrets_of

MAX_CHARACTERS = 2000
"""Longest text that is taken from a log. The end is kept, because the cause of a failure is at the end of a log."""

_TAIL_BYTES = 100_000
_RECORD = re.compile(r"^\[\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\] (?P<level>[A-Z]+) (?P<text>.*)$")
# cwltool wraps long lines and indents the continuation deeply.
_LINE_WRAP = re.compile(r"\n {16,}")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s'\"<>()\[\],;]+")
_EVALUATION_ERROR = "Expression evaluation error:"
# `main.cwl:5:13: `, which cwltool may repeat at each line.
_POSITION = re.compile(r"(\S+:\d+:\d+):\s*$")
_POSITION_PREFIX = re.compile(r"^\S+:\d+:\d+:")
_TIMED_OUT = re.compile(r"Long-running script killed after (\d+(?:\.\d+)?) seconds")
_MAX_ERROR = 300
_ILLEGAL_NAME = re.compile(r"^Invalid filename: '.*' contains illegal characters$", re.MULTILINE)
_RELAX_ADVICE = "the engine parameter relax_path_checks=true permits spaces and other special characters in file names"
_NO_PROGRAM = re.compile(r"^'(.+)' not found: \[Errno 2\] No such file or directory: '\1'$", re.MULTILINE)
_PROGRAM_ADVICE = "install it on the daemon's machine, in a directory of PATH, or name a container that has it"
_NO_IMAGE = re.compile(
    r"^Docker is required to run this tool: Command '\[(.+)\]' returned non-zero exit status \d+", re.M
)
# The beginning of the name of a document outside of the work directory.
_OUTSIDE = re.compile(r"(?<![\w./])(?:\.\./){3,}")
_DEBUG_ADVICE = re.compile(r", try again with --debug for more information")


def failure_message(steps: Sequence[Step], folder: Path, *, log: str, base: Path) -> str:
    """Describe why cwltool failed.

    Args:
        folder: the directory that the steps' log paths are relative to.
        log: cwltool's stderr.
        base: the directory that cwltool's names of documents are relative to.
    """
    failed = [step for step in steps if step.has_failed and step.exit_code not in (None, 0)]
    if not failed:
        # The document, its inputs or a missing output is the cause; only cwltool's log describes it.
        log = _with_absolute_names(log, base)
        return javascript_error(log) or image_error(log) or shorten(_with_advice(cwltool_errors(log)))
    first = min(failed, key=lambda step: (step.ended_at or step.started_at, step.number))
    more = f" (and {len(failed) - 1} more failed)" if len(failed) > 1 else ""
    output = _tool_output(first, folder)
    ended = describe_exit(first.exit_code)
    if first.exceeded_seconds:
        ended = f"exceeded its time limit of {first.exceeded_seconds:g} s (ToolTimeLimit) and was ended"
    return f"{first.name} {ended}{more}{': ' if output else ''}{output}"


def cwltool_errors(log: str) -> str:
    """Extract the errors from cwltool's log, with continuation lines; without errors, return the end of the log."""
    lines: list[str] = []
    is_error = False
    for line in log.splitlines():
        if record := _RECORD.match(line):
            is_error, line = record["level"] in ("ERROR", "CRITICAL"), record["text"]
        if is_error:
            lines.append(_DEBUG_ADVICE.sub("", line))
    return _LINE_WRAP.sub(" ", "\n".join(lines)).strip() or shorten(log.strip())


def javascript_error(log: str) -> str:
    """Describe the first JavaScript error of cwltool's log in one sentence; empty when there is none.

    cwltool prints the whole script, which begins with the values of all inputs; they are left out.
    """
    before, found, after = log.partition(_EVALUATION_ERROR)
    lines = _without_positions(after)
    if not found or not (_TIMED_OUT.match(" ".join(lines[:2])) or "script was:" in lines):
        return ""
    position = _POSITION.search(before)
    return f"{f'{position[1]}: ' if position else ''}a JavaScript expression {_what_failed(lines)}"


def image_error(log: str) -> str:
    """Say why a container image could not be fetched; empty when that is not the error.

    cwltool names the command only, and Docker for every engine; the engine's own error is before that in the log.
    """
    found = _NO_IMAGE.search(log)
    if not found:
        return ""
    command = " ".join(re.findall(r"'([^']*)'", found[1]))
    # The last line before is the record of cwltool that the found line continues.
    printed = log[: found.start()].splitlines()[:-1]
    reason = printed[-1].strip() if printed and not _RECORD.match(printed[-1]) else "see the run's stderr"
    return f"the container image could not be fetched with `{command}`: {shorten(reason, _MAX_ERROR)}"


def _what_failed(lines: Sequence[str]) -> str:
    if timed_out := _TIMED_OUT.match(" ".join(lines[:2])):
        return f"was ended because it ran for {timed_out[1]} seconds"
    output = lines[next((n for n, line in enumerate(lines) if line.startswith("stderr was:")), len(lines)) :]
    pointer = next((n for n, line in enumerate(output) if line and not line.strip("^")), None)
    if pointer is None:
        return "failed; see the run's stderr"
    error = next((line for line in output[pointer + 1 :] if line), "an unknown error").rstrip("'")
    return f"failed: {shorten(error, _MAX_ERROR)}, in {shorten(output[pointer - 1], _MAX_ERROR)}"


def _without_positions(text: str) -> Sequence[str]:
    lines: list[str] = []
    for line in text.splitlines():
        if _RECORD.match(line):
            break
        lines.append(_POSITION_PREFIX.sub("", line.strip()).strip())
    return lines[1:] if lines and not lines[0] else lines


def _with_absolute_names(text: str, base: Path) -> str:
    return _OUTSIDE.sub(lambda found: os.path.join(os.path.normpath(base / found[0]), ""), text)


def _with_advice(errors: str) -> str:
    errors = _NO_PROGRAM.sub(rf"\g<0>; {_PROGRAM_ADVICE}", errors)
    return _ILLEGAL_NAME.sub(rf"\g<0>; {_RELAX_ADVICE}", errors)


def without_secrets(text: str, document: str) -> str:
    """Hide possible secrets in the addresses of a text; `document` is the address of the workflow."""
    return without_secrets_of(document, _ADDRESS.sub(lambda found: public_url(found[0]), text))


def describe_exit(code: int | None) -> str:
    """Describe an exit code as `subprocess` returns it; a negative number is a signal."""
    if code is None:
        return "ended"
    return f"exited {code}" if code >= 0 else f"was killed by signal {-code}"


def shorten(text: str, max_characters: int = MAX_CHARACTERS) -> str:
    """Return the text or its last lines that fit; a longer last line loses its beginning."""
    if len(text) <= max_characters:
        return text
    end = text[-max_characters:]
    return f"… {end.partition(chr(10))[2] or end}"


def read_tail(path: Path) -> str:
    """Return the end of a log file; empty when there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _tool_output(step: Step, folder: Path) -> str:
    for log in (step.stderr, step.stdout):
        if output := read_tail(folder / log).strip():
            return shorten(output)
    return ""
