"""The directory of one run. Its files are all that is known about the run."""

import fcntl
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCRIPT, REQUEST, PARAMS, OUTPUTS = "script", "request.json", "params.json", "outputs.json"
STDOUT, STDERR = "stdout.txt", "stderr.txt"
_CANCEL, _STARTED, _RESULT = "cancel", "started.json", "result.json"


class RunDirectory:
    """The files of one run.

    - The directory appears with its first files at once: of several attempts, one creates the run.
    - `started.json` appears once, and locked: of several runners, one starts the script. The lock ends with the last
      process of runner and script.
    - `result.json` appears at the end, with its content.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exists = (path / REQUEST).is_file()

    def create(self, files: Mapping[str, bytes]) -> None:
        """Create the directory with these files, unless another attempt has created it."""
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.path.parent, ignore_cleanup_errors=True) as parent:
            new = Path(parent) / "run"
            new.mkdir()
            for name, content in files.items():
                (new / name).write_bytes(content)
            try:
                new.rename(self.path)
            except OSError:
                if not (self.path / REQUEST).is_file():
                    raise

    def start(self) -> int | None:
        """Mark the run as started; return the locked file, or None if the run was started before."""
        file, path = tempfile.mkstemp(prefix=".start-", dir=self.path)
        os.write(file, json.dumps({"at": _now()}).encode())
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            os.link(path, self.path / _STARTED)
        except FileExistsError:
            return None
        finally:
            os.unlink(path)
        return file

    def has_process(self) -> bool:
        """Return whether the runner or the script is alive."""
        with suppress(FileNotFoundError), (self.path / _STARTED).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def cancel(self) -> None:
        """Ask the runner to end the script."""
        (self.path / _CANCEL).touch()

    @property
    def is_to_cancel(self) -> bool:
        return (self.path / _CANCEL).exists()

    def finish(self, *, exit_code: int | None, is_cancelled: bool) -> None:
        """Record the end of the run."""
        new = self.path / ".result"
        new.write_text(json.dumps({"at": _now(), "exit_code": exit_code, "is_cancelled": is_cancelled}))
        new.rename(self.path / _RESULT)

    @property
    def request(self) -> Mapping[str, Any]:
        return self.read(REQUEST) or {}

    @property
    def started(self) -> Mapping[str, Any] | None:
        return self.read(_STARTED)

    @property
    def result(self) -> Mapping[str, Any] | None:
        return self.read(_RESULT)

    def read(self, name: str) -> Mapping[str, Any] | None:
        """Return the JSON object in a file; None without the file. Raises `ValueError` for any other content."""
        try:
            content = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        if not isinstance(content, dict):
            raise ValueError(f"{name} holds no JSON object")
        return content

    def last_words(self) -> str:
        """Return the last line that the script wrote to standard error."""
        lines = (self.path / STDERR).read_text(errors="replace").splitlines()
        return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "nothing in standard error")


def _now() -> str:
    return datetime.now(UTC).isoformat()
