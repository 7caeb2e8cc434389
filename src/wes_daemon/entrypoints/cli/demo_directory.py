"""The directory of a demonstration: workflows, database, runs, and a .env that lets every command find them."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import count
from pathlib import Path

import click

from wes_daemon.domain.runs import RunId
from wes_daemon.entrypoints.cli.paths import at_home
from wes_daemon.entrypoints.cli.session import user_data

_DATA = "demo_data"


@dataclass(frozen=True, slots=True)
class DemoDirectory:
    """Where everything of one demonstration is."""

    path: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What .env says, so that whoever is in the directory works with its database."""
        return {
            "DATABASE_URI": f"sqlite:///{self.path / 'runs.db'}",
            "DAEMON_LOCAL_WORKDIR": str(self.path / "runs"),
            "DAEMON_DEFAULT_PROVIDER": "local",
            "DAEMON_POLL_INTERVAL": "1",
            "DAEMON_STATUS_CHECK_INTERVAL": "1",
        }

    @property
    def settings(self) -> Mapping[str, object]:
        """What the demonstration itself runs with, whatever the environment says."""
        return {
            "database_uri": self.environment["DATABASE_URI"],
            "local_workdir": self.path / "runs",
            "default_provider": "local",
            "poll_interval_seconds": 0.5,
            "status_check_interval_seconds": 0.5,
            "max_concurrent_workflows": 4,
            "auto_migrate": True,
        }

    @property
    def parameters(self) -> Mapping[str, Mapping[str, object]]:
        """The workflows' parameters, by the workflows' names."""
        return {
            "count_words": {"text": {"class": "File", "location": (self.path / "text.txt").as_uri()}},
            "greet_all": {"names": ["Ada", "Grace", "Rosalind"]},
        }

    def workflow(self, name: str) -> Path:
        """The file of one of the workflows."""
        return self.path / f"{name}.cwl"

    def how_to_go_on(self, failed: RunId) -> str:
        """Lines for a shell, to be tried one after the other."""
        overriding = [name for name in self.environment if name in os.environ]
        program = _program()
        return "\n  ".join(
            (
                "\nGo on:",
                f"cd {shlex.quote(str(self.path))}",
                *([f"unset {' '.join(overriding)}"] if overriding else []),
                f"{program} list",
                f"{program} show {failed}",
                f"{program} > daemon.log &",
                f"{program} submit count_words.cwl text=@text.txt --wait",
                "kill %1",
            )
        )


def prepare_directory(given: Path | None) -> DemoDirectory:
    """Make the directory and fill it; one that was used before is used again.

    Raises:
        click.BadParameter: it cannot be made, or has a .env that is not ours.
    """
    try:
        place = DemoDirectory(_made(given) if given else _new())
        _fill(place)
    except OSError as error:
        raise click.BadParameter(
            f"{error.filename}: {error.strerror}; name a directory that may be written to.", param_hint="--dir"
        ) from error
    return place


def _program() -> str:
    """What to type for this very program: its name alone where the shell finds it, else as it was called."""
    here = Path(sys.executable).parent.resolve()
    found = shutil.which("wes-daemon")
    if found and Path(found).resolve().parent == here:
        return "wes-daemon"
    called = Path(sys.argv[0]).absolute()
    return shlex.join([sys.executable, "-m", "wes_daemon"] if called.suffix == ".py" else [str(called)])


def _made(path: Path) -> Path:
    made = at_home(str(path), "--dir")
    made.mkdir(parents=True, exist_ok=True)
    return made.resolve()


def _new() -> Path:
    parent = user_data()
    parent.mkdir(parents=True, exist_ok=True)
    return next(_numbered(parent)).resolve()


def _numbered(parent: Path) -> Iterator[Path]:
    for number in count(1):
        path = parent / f"demo-{number}"
        if not path.exists():
            path.mkdir()
            yield path


def _fill(place: DemoDirectory) -> None:
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in place.environment.items())
    env = place.path / ".env"
    if env.exists() and env.read_text("utf-8", "replace") != text:
        raise click.BadParameter(f"{place.path} has a .env of its own; name another directory.", param_hint="--dir")
    env.write_text(text, "utf-8")
    with as_file(files("wes_daemon.entrypoints.cli") / _DATA) as data:
        for file in data.iterdir():
            shutil.copyfile(file, place.path / file.name)
