"""Real WES servers, unmodified from their packages, each as a process on loopback that can be killed and restarted.

docs/live-tests.md says how they are installed, and which variable names the command of each.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.faults.waiting import eventually

_START_SECONDS = 90
_OF_ENGINE = "cwltool"

# The packaged script runs each engine by `docker run`; this replaces the function for cwltool.
_WITHOUT_CONTAINERS = """
function run_cwltool() {
    local -a cmd_arr=(cwltool --no-container --outdir "${outputs_dir}")
    _append_engine_params cmd_arr
    cmd_arr+=("${wf_url}" "${wf_params}")
    cd "${exe_dir}"
    TMPDIR="${tmp_dir}" _write_and_run cmd_arr
}
"""


class RealServer(ABC):
    """A server of one kind.

    Attributes:
        variable: the environment variable that names its command.
        has_tasks, cancels: what the server offers.
        tells_the_end: whether a run that outlives the server is known to have ended after a restart.
        type: of a CWL workflow, as a user writes it.
    """

    variable: str
    has_tasks = False
    cancels = True
    tells_the_end = True
    type = "CWL"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "server.log"

    @classmethod
    def command(cls) -> Path | None:
        """The server's command; None if it is not installed here."""
        named = os.environ.get(cls.variable, "")
        return Path(named) if named and Path(named).is_file() else None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What the server has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @abstractmethod
    def arguments(self) -> Sequence[str]:
        """The arguments of the command."""

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = self.command()
        assert command is not None
        # A run that outlives a killed server may keep its port.
        assert eventually(lambda: not self._is_listening(), within=_START_SECONDS), "the port is still in use"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(command), *self.arguments()],
                cwd=self.folder,
                env=self._environment(command),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert eventually(self._is_listening, within=_START_SECONDS), self.output

    def kill(self) -> None:
        """Kill the server at once, with all processes of its own, and leave the runs alone."""
        for pid in self._own_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process:
            self._process.wait()

    def end(self) -> None:
        """End the server and everything that it has started."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _own_processes(self) -> Sequence[int]:
        return [self._process.pid] if self._process else []

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _environment(self, command: Path) -> Mapping[str, str]:
        path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}


class WesService(RealServer):
    """wes-service 5.0 with cwltool: the reference implementation of the CWL project."""

    variable = "WES_DAEMON_TEST_WES_SERVICE"
    cancels = False
    tells_the_end = False

    def arguments(self) -> Sequence[str]:
        backend = ["--backend=wes_service.cwl_runner", "--opt", f"runner={_OF_ENGINE}", "--opt", "extra=--no-container"]
        return [*backend, "--port", str(self.port)]


class Toil(RealServer):
    """The server of Toil 9.6, without Celery."""

    variable = "WES_DAEMON_TEST_TOIL"
    has_tasks = True

    def arguments(self) -> Sequence[str]:
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--work_dir", str(self.folder / "work"), "-w", "1"]
        return ["server", "--bypass_celery", *place, "--opt=--batchSystem=single_machine"]

    def _own_processes(self) -> Sequence[int]:
        """The master and its worker, but not the processes that the worker has started for runs."""
        master = super()._own_processes()
        return [*master, *(child for pid in master for child in _children(pid))]


class Sapporo(RealServer):
    """Sapporo 2.4, whose script for engines runs cwltool without containers."""

    variable = "WES_DAEMON_TEST_SAPPORO"

    def arguments(self) -> Sequence[str]:
        (self.folder / "runs").mkdir(exist_ok=True)
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--url-prefix", "/ga4gh/wes/v1"]
        return [*place, "--run-dir", "runs", "--run-sh", str(self._script()), "--cancel-grace-seconds", "5"]

    def _script(self) -> Path:
        command = self.command()
        assert command is not None
        [packaged] = command.parent.parent.glob("lib/python3*/site-packages/sapporo/run.sh")
        script = self.folder / "run.sh"
        lines = packaged.read_text()
        marker = "# If you are not familiar with sapporo, please don't edit below."
        assert marker in lines
        script.write_text(lines.replace(marker, f"{_WITHOUT_CONTAINERS}\n{marker}"))
        shutil.copymode(packaged, script)
        return script


SERVERS: Sequence[type[RealServer]] = (WesService, Toil, Sapporo)


def processes_with(text: str) -> Sequence[int]:
    """The processes whose command line contains a text."""
    found: list[int] = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if text in command.read_text(errors="replace"):
                found.append(int(command.parent.name))
    return found


def _children(pid: int) -> Sequence[int]:
    assert sys.platform == "linux", "the children of a process are read from /proc"
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
