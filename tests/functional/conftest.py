"""The command line as a person or a supervisor calls it: in this process where that is enough, else as a program."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from wes_daemon.bootstrap.settings import documented_settings
from wes_daemon.entrypoints.cli.main import cli

BOUND = 60
CWL = Path(__file__).parents[1] / "cwl"

_STEERING = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "_WES_DAEMON_COMPLETE")

Call = Callable[..., Result]
Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is set; the working directory."""
    for name in [*(name for name, _, _ in documented_settings()), *_STEERING]:
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("DAEMON_", "DATABASE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def uri(clean: Path) -> str:
    """A database that nothing was done to, named by the environment of nobody."""
    return f"sqlite:///{clean / 'runs.db'}"


@pytest.fixture
def set_up(clean: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose environment names a database and the local provider; the working directory."""
    monkeypatch.setenv("DATABASE_URI", uri)
    monkeypatch.setenv("DAEMON_LOCAL_WORKDIR", str(clean / "local"))
    monkeypatch.setenv("DAEMON_DEFAULT_PROVIDER", "local")
    return clean


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Takes back what a command does to the logging of its process."""
    root, ours = logging.getLogger(), logging.getLogger("wes_daemon")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture
def call() -> Call:
    """Call a command in this process, to its end."""

    def invoke(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="wes-daemon", input=input, catch_exceptions=False)

    return invoke


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start the program as a process of its own; what a test leaves running is ended with it."""
    launched: list[subprocess.Popen[str]] = []

    def start(*arguments: str, command: Sequence[str] = (), **more: Any) -> "subprocess.Popen[str]":
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        process = subprocess.Popen(
            [*(command or program()), *arguments], text=True, preexec_fn=_heed_ctrl_c, **(streams | more)
        )
        launched.append(process)
        return process

    yield start
    for process in launched:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _heed_ctrl_c() -> None:
    """Undo what nohup, `&` in a script and some CI do to whatever they start, and what that starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def program(*arguments: str) -> Sequence[str]:
    """The command line of the program."""
    return [sys.executable, "-m", "wes_daemon", *arguments]


def ended(process: "subprocess.Popen[str]", within: float = BOUND) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a process that ends by itself."""
    stdout, stderr = process.communicate(timeout=within)
    return process.returncode, stdout, stderr


def until(condition: Callable[[], bool], within: float = BOUND) -> None:
    """Wait for what another process does."""
    limit = time.monotonic() + within
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.02)


def says(path: Path, text: str) -> Callable[[], bool]:
    """Whether a file holds a text by now."""
    return lambda: path.exists() and text in path.read_text()


def stop(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to one process."""
    process.send_signal(number)
