"""Engines other than the built-in one: any command that keeps the convention of `cwl-runner`.

Such a command is called as `COMMAND [options] --outdir DIR document inputs`. It prints the outputs as one JSON object
on standard output and its log on standard error, and exits with 0 when every step has succeeded.
"""

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Self

from wes_daemon.adapters.providers.local.engine_parameters import run_environment
from wes_daemon.application.ports.errors import Misconfigured, Rejected

SETTING = "DAEMON_LOCAL_ENGINE"
BUILT_IN = "cwltool"
"""The value of the setting that means cwltool inside of the daemon's own engine process."""
GRACE = timedelta(seconds=60)
"""How long an engine may take after SIGTERM, because it has to end its jobs in a scheduler first."""

JOB_STORE = frozenset({"--jobStore", "--jobstore"})
"""Toil's option for its job store; each run has one in its directory, unless the setting names a place for each."""
RUN = "{run}"
"""Stands for the name of the run's directory in the words of the command."""
_CONTAINER_OPTIONS = frozenset({"--no-container", "--podman", "--singularity", "--udocker", "--user-space-docker-cmd"})
_PARAMETERS = frozenset({"container", "on_error", "parallel", "preserve_environment", "relax_path_checks"})


class Dialect(StrEnum):
    """The engines whose options beyond the convention are known; the value is the name of the program."""

    TOIL = "toil-cwl-runner"
    CWLTOOL = "cwltool"
    OTHER = ""


# What the daemon sets for each run itself: two runs must not share a directory, and the daemon reads the files.
_RESERVED_OPTIONS: Mapping[Dialect, frozenset[str]] = {
    Dialect.TOIL: frozenset(
        {
            *("--outdir", "--restart", "--basedir"),
            *("--writeLogs", "--writeLogsGzip", "--writeMessages", "--batchLogsDir", "--logFile"),
        }
    ),
    Dialect.CWLTOOL: frozenset({"--outdir", "--basedir"}),
    Dialect.OTHER: frozenset({"--outdir"}),
}
_SUPPORTED_PARAMETERS: Mapping[Dialect, frozenset[str]] = {
    # Toil always runs independent steps at the same time, goes on with them when one has failed, and has no effect of
    # its own option `--preserve-environment` (`CWLJob.run` of Toil 9 replaces it).
    Dialect.TOIL: frozenset({"container", "relax_path_checks"}),
    Dialect.CWLTOOL: _PARAMETERS,
    Dialect.OTHER: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalEngine:
    """A command that executes the workflows of runs.

    Attributes:
        command: the words of the command and of its options.
        variables: names of variables of the daemon's environment that the engine sees besides the harmless ones.
        grace: the time between SIGTERM and SIGKILL when a run is cancelled.
        cancel_jobs: the words of a command that ends jobs in the scheduler, such as `scancel`; it is called with the
            jobs' ids when an engine has ended without ending them itself. Empty if there is none.
    """

    command: Sequence[str]
    variables: Sequence[str] = ()
    grace: timedelta = GRACE
    cancel_jobs: Sequence[str] = ()

    @property
    def dialect(self) -> Dialect:
        """The engine that the command calls, also behind a program such as `env`, `nice` or `python -m`."""
        names = [PurePath(word).name for word in self.command]
        return next((Dialect(name) for name in names if name and name in list(Dialect)), Dialect.OTHER)

    @property
    def name(self) -> str:
        """What messages call the engine."""
        return self.dialect.value or PurePath(self.command[0]).name

    def as_object(self) -> Mapping[str, object]:
        """Return the JSON object to write."""
        return {
            "command": list(self.command),
            "variables": list(self.variables),
            "grace": self.grace.total_seconds(),
            "cancel_jobs": list(self.cancel_jobs),
        }

    @classmethod
    def from_object(cls, found: object) -> Self | None:
        """Read a JSON object that `as_object` returned; `None`, which is the built-in engine, for anything else."""
        if not isinstance(found, Mapping) or not _texts(found.get("command")):
            return None
        grace = found.get("grace")
        return cls(
            command=_texts(found.get("command")),
            variables=_texts(found.get("variables")),
            grace=timedelta(seconds=grace) if isinstance(grace, int | float) else GRACE,
            cancel_jobs=_texts(found.get("cancel_jobs")),
        )


def read_engine(
    text: str, *, variables: Sequence[str] = (), grace: timedelta = GRACE, cancel_jobs: str = ""
) -> ExternalEngine | None:
    """Parse the setting, which is split into words as a shell does; no shell is involved later.

    Returns:
        `None` for the built-in engine.

    Raises:
        ValueError: the text is no command, or has an option that the daemon sets itself.
    """
    if text.strip() in ("", BUILT_IN):
        return None
    command = split_command(text)
    if ("-m", BUILT_IN) in pairwise(command):
        raise ValueError(
            "`python -m cwltool` exits 0 when a run has failed, too: write the path of the program cwltool"
        )
    if os.sep in command[0] and not os.path.isabs(command[0]):
        raise ValueError(f"{command[0]!r} is a relative path: write an absolute one, or a name that is found in PATH")
    engine = ExternalEngine(
        command=command, variables=tuple(variables), grace=grace, cancel_jobs=split_command(cancel_jobs)
    )
    reserved = _RESERVED_OPTIONS[engine.dialect]
    if found := [word for word in command[1:] if word.partition("=")[0] in reserved]:
        raise ValueError(f"the daemon sets {found[0].partition('=')[0]} for each run itself: leave this option out")
    if any(word.partition("=")[0] in JOB_STORE for word in command) and not any(RUN in word for word in command):
        raise ValueError(f"runs cannot share a job store: write {RUN} in its name, or leave --jobStore out")
    return engine


def split_command(text: str) -> Sequence[str]:
    """Split a command line into words as a shell does.

    Raises:
        ValueError: a quotation mark is not closed.
    """
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"it cannot be split into words: {str(error).lower()}; quote it as in a shell") from error


def require_program(engine: ExternalEngine) -> ExternalEngine:
    """Check that the engine can be started; return it with the absolute path of its program.

    Raises:
        Misconfigured: there is no such program, or it cannot be executed.
    """
    program, *options = engine.command
    found = shutil.which(program, path=run_environment(os.environ)["PATH"])
    if found is None:
        raise Misconfigured(f"{SETTING}: {_why_missing(program)}")
    if interpreter := _missing_interpreter(Path(found)):
        raise Misconfigured(
            f"{SETTING}: {found} names the interpreter {interpreter}, which does not exist: install the engine again, "
            "because its environment was moved or removed"
        )
    return replace(engine, command=(os.path.abspath(found), *options))


def require_supported(engine: ExternalEngine, given: Mapping[str, object]) -> None:
    """Check that the engine can obey the engine parameters of a request.

    Raises:
        Rejected: it cannot; the message says which parameters to omit.
    """
    named = {name for name, value in given.items() if value is not None}
    if engine.dialect is Dialect.TOIL and str(given.get("parallel")).lower() == "true":
        named.discard("parallel")
    if unsupported := sorted(named - _SUPPORTED_PARAMETERS[engine.dialect]):
        raise Rejected(
            f"workflow_engine_parameters: {', '.join(unsupported)}: the engine {engine.name}, which {SETTING} names, "
            f"does not support {'this' if len(unsupported) == 1 else 'these'}; "
            f"omit {'it' if len(unsupported) == 1 else 'them'}"
        )
    chosen = next((word for word in engine.command if word.partition("=")[0] in _CONTAINER_OPTIONS), None)
    if chosen and "container" in named:
        raise Rejected(f"workflow_engine_parameters.container: {SETTING} has decided with {chosen}; omit it")


def _texts(value: object) -> Sequence[str]:
    return tuple(str(word) for word in value) if isinstance(value, list | tuple) else ()


def _why_missing(program: str) -> str:
    path = Path(program)
    if path.is_absolute() and path.is_dir():
        return f"{program} is a directory: name the program in it"
    if path.is_absolute() and path.exists():
        return f"{program} is not executable by this user: make it so with `chmod +x`"
    advice = "install it on the daemon's machine"
    if path.is_absolute():
        return f"there is no program {program}: {advice}, or correct the path"
    return f"there is no program {program!r} in the daemon's PATH: {advice}, or write its absolute path"


def _missing_interpreter(program: Path) -> str | None:
    """Return the interpreter that the first line of a script names, if it does not exist."""
    try:
        with program.open("rb") as file:
            line = file.readline(4096)
    except OSError:
        return None  # A program that may be executed and not read.
    words = line[2:].split() if line.startswith(b"#!") else []
    interpreter = os.fsdecode(words[0]) if words else ""
    return interpreter if interpreter and not os.path.exists(interpreter) else None
