"""Fresh environments without this clone: the package and the example from their wheels."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/wes-daemon-scripts"
BOUND = 240

_GREET = """echo '{"greeting": "hello '"$WES_PARAM_name"'"}' > "$WES_OUTPUTS"\n"""


def build_wheels(directory: Path) -> Mapping[str, Path]:
    """Build the wheels of the package and of the example, by their distributions' names."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    builds = [subprocess.Popen(command, cwd=source, stdout=subprocess.DEVNULL) for source in (ROOT, EXAMPLE)]
    assert [build.wait(BOUND) for build in builds] == [0, 0]
    return {wheel.name.split("-")[0].replace("_", "-"): wheel for wheel in directory.glob("*.whl")}


class Environment:
    """A virtual environment and a directory to work in, in which a process has these variables and no others.

    The dependencies of the package are those of the environment in which the tests run: they come from no index.
    """

    def __init__(self, path: Path, wheels: Mapping[str, Path]) -> None:
        self._path, self._wheels = path / "env", wheels
        self.work = path / "work"
        self.work.mkdir()
        (self.work / "scripts").mkdir()
        venv.create(self._path, with_pip=False)
        dependencies = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
        (self.packages / "dependencies.pth").write_text("\n".join(dependencies))
        self.install(*wheels)
        assert self.run("python", "-c", "import wes_daemon; print(wes_daemon.__file__)").startswith(str(self.packages))

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self._path / "bin/python"

    @property
    def packages(self) -> Path:
        """The directory into which packages are installed."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self._path / "lib" / version / "site-packages"

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment's variables: the database, and the settings of the example."""
        return {
            "PATH": f"{self._path / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.work),
            "DATABASE_URI": f"sqlite:///{self.work / 'runs.db'}",
            "SCRIPTS_DIRECTORY": str(self.work / "scripts"),
            "SCRIPTS_WORKDIR": str(self.work / "script-runs"),
            "DAEMON_STATUS_CHECK_FLOOR": "0.5",
            "DAEMON_STATUS_CHECK_INTERVAL": "0.5",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }

    def install(self, *distributions: str) -> None:
        """Install wheels, with nothing else."""
        wheels = [str(self._wheels[name]) for name in distributions]
        self._pip("install", "--no-deps", "--no-index", "--no-compile", *wheels)

    def uninstall(self, distribution: str) -> None:
        """Uninstall a distribution."""
        self._pip("uninstall", "--yes", distribution)

    def run(
        self, program: str, *arguments: str, code: int = 0, variables: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """Run a program of the environment to its end; return its standard output."""
        result = subprocess.run(
            [str(self._path / "bin" / program), *arguments],
            cwd=self.work,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=BOUND,
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """Run the daemon as a process of its own; end it afterwards."""
        with (self.work / "daemon.log").open("ab") as log:
            daemon = subprocess.Popen(
                [str(self._path / "bin/wes-daemon")], cwd=self.work, env=dict(self.variables), stdout=log, stderr=log
            )
        try:
            yield
        finally:
            daemon.terminate()
            daemon.wait(BOUND)

    def providers(self, variables: Mapping[str, str] = MappingProxyType({})) -> Sequence[Mapping[str, Any]]:
        """Return what `wes-daemon providers --json` says."""
        document: Sequence[Mapping[str, Any]] = json.loads(
            self.run("wes-daemon", "providers", "--json", variables=variables)
        )
        return document

    def submit(self, *arguments: str) -> str:
        """Queue a run of the script `greet`; return its id."""
        (self.work / "scripts/greet").write_text(_GREET)
        command = ["submit", "scripts://greet", "--provider", "scripts", "--type", "SH", "--type-version", "1"]
        return self.run("wes-daemon", *command, "name=World", *arguments).split()[0]

    def show(self, run_id: str) -> Mapping[str, Any]:
        """Return what `wes-daemon show --json` says."""
        document: Mapping[str, Any] = json.loads(self.run("wes-daemon", "show", run_id, "--json"))
        return document

    def _pip(self, command: str, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(self.python), command, "--quiet", *arguments],
            check=True,
            timeout=BOUND,
            stdout=subprocess.DEVNULL,
        )


def write_distribution(directory: Path, name: str, *, provider: str, module: str) -> None:
    """Write an installed distribution with a plug-in; `module` is the text of its module."""
    stem = name.replace("-", "_")
    information = directory / f"{stem}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[wes_daemon.providers]\n{provider} = {stem}:Plugin\n")
    (directory / f"{stem}.py").write_text(module)
