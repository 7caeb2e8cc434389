"""The process that executes cwltool: `python -m wes_daemon.adapters.providers.local.engine DIRECTORY`.

The runner starts it; its stdout and stderr are cwltool's.
"""

import io
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from wes_daemon.adapters.providers.local.disk import is_full, write_when_possible
from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine
from wes_daemon.adapters.providers.local.journal import Journal
from wes_daemon.adapters.providers.local.plan import Plan
from wes_daemon.adapters.providers.local.run_directory import (
    NO_CWLTOOL,
    NO_SPACE,
    RUN_VARIABLE,
    TERMINATED,
    UNREACHABLE,
    RunDirectory,
    read_object,
    replace_file,
)
from wes_daemon.adapters.system import SystemClock

if TYPE_CHECKING:
    from wes_daemon.adapters.providers.local.cwltool_files import RunFiles

_CONTAINER_OPTIONS: Mapping[ContainerEngine | None, Sequence[str]] = {
    None: ("--no-container",),
    ContainerEngine.NONE: ("--no-container",),
    ContainerEngine.DOCKER: (),
    ContainerEngine.PODMAN: ("--podman",),
    ContainerEngine.SINGULARITY: ("--singularity",),
    ContainerEngine.UDOCKER: ("--udocker",),
}


def main(arguments: Sequence[str]) -> int:
    """Execute the workflow of one run directory; return cwltool's exit code."""
    run = RunDirectory(Path(arguments[0]))
    if find_spec("cwltool") is None:
        advice = "pip install 'wes-daemon[local]' or, in a clone, pip install '.[local]'"
        print(f"cwltool is not installed: {advice}", file=sys.stderr)  # noqa: T201 -- stderr is the log of the run
        return NO_CWLTOOL
    return _execute(Plan.from_object(read_object(run.request) or {}), run)


def cwltool_arguments(plan: Plan, run: RunDirectory) -> list[str]:
    """Return cwltool's command line.

    A value from the request is either a member of a closed set or follows the `--`, so it cannot add an option.
    """
    parameters = plan.parameters
    return [
        *("--timestamps", "--disable-color", "--no-doc-cache"),
        *(f"--outdir={run.outputs}", f"--cidfile-dir={run.containers}"),
        *(f"--tmpdir-prefix={run.temporary}/t-", f"--tmp-outdir-prefix={run.temporary}/o-"),
        *(["--parallel"] if parameters.parallel else []),
        *(["--relax-path-checks"] if parameters.relax_path_checks else []),
        f"--on-error={parameters.on_error}",
        *(f"--preserve-environment={variable}" for variable in parameters.preserve_environment),
        *_CONTAINER_OPTIONS[parameters.container],
        # The inputs' file as an address, because cwltool reads a path as one: a "#" or "%20" would have a meaning.
        f"--basedir={run.attachments}",
        *("--", plan.document_address(run), (run.attachments / plan.inputs_file).as_uri()),
    ]


def _execute(plan: Plan, run: RunDirectory) -> int:
    from cwltool.main import main as run_cwltool

    arguments = cwltool_arguments(plan, run)
    journal = Journal(run.steps, SystemClock())
    # cwltool's own handler waits ten seconds for the tools; the runner has sent SIGTERM to them as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    hooks = _recording(plan, run, arguments, journal)
    if not hooks:
        arguments = [f"--preserve-environment={RUN_VARIABLE}", *arguments]
    files, hooks = _reading(plan, run, arguments, journal, hooks)
    outputs = io.StringIO()
    exit_code = run_cwltool(arguments, stdout=outputs, **hooks)
    if is_disk_full := is_full(run.path):
        shutil.rmtree(run.temporary, ignore_errors=True)  # The run must not wait for space that it occupies itself.
    _write_results(run, journal, outputs.getvalue())
    if exit_code and (is_disk_full or journal.has_met_full_disk or (files and files.has_met_full_disk)):
        return NO_SPACE
    is_unreachable = files and files.is_unreachable and not journal.has_failed_tool
    return UNREACHABLE if exit_code and is_unreachable else exit_code


def _write_results(run: RunDirectory, journal: Journal, outputs: str) -> None:
    """Write the outputs and the journal; a full disk is waited for, because nothing else has them."""
    content = outputs.encode(errors="replace")
    if content:
        write_when_possible(lambda: replace_file(run.cwltool_stdout, content), folder=run.path)
    write_when_possible(journal.flush, folder=run.path)


def _leave(exit_code: int) -> NoReturn:
    """End the process with this code even when its log cannot be written."""
    try:
        sys.stderr.flush()
    except OSError:
        os._exit(exit_code)
    sys.exit(exit_code)


def _recording(plan: Plan, run: RunDirectory, arguments: Sequence[str], journal: Journal) -> Mapping[str, Any]:
    """Return the arguments with which cwltool records its steps; none when its version lacks the hooks."""
    try:
        from wes_daemon.adapters.providers.local.cwltool_hooks import input_checking_executor, recording_context

        return {
            "executor": input_checking_executor(journal, parallel=plan.parameters.parallel),
            "loadingContext": recording_context(
                arguments, journal, run.steps, container_advice=_container_advice(plan)
            ),
        }
    except (ImportError, AttributeError, TypeError) as error:
        # Another version of cwltool may lack the hooks: the run is executed without them, and without its steps.
        journal.note(f"the steps of this run could not be recorded with this version of cwltool: {error}")
        return {}


def _reading(
    plan: Plan, run: RunDirectory, arguments: Sequence[str], journal: Journal, hooks: Mapping[str, Any]
) -> tuple["RunFiles | None", Mapping[str, Any]]:
    """Add the arguments with which cwltool reads through `RunFiles`; nothing when its version lacks the hooks."""
    # Some libraries open connections of their own, such as rdflib for what a schema refers to.
    socket.setdefaulttimeout(plan.fetch_timeout.total_seconds())
    try:
        from wes_daemon.adapters.providers.local.cwltool_files import RunFiles, read_with
        from wes_daemon.adapters.providers.local.downloads import Downloads

        downloads = Downloads(run.temporary, timeout=plan.fetch_timeout, note=journal.note)
        files = RunFiles(downloads, outputs=run.outputs, has_failed=lambda: journal.has_failed_tool)
        return files, read_with(files, arguments, hooks, produced=run.temporary)
    except (ImportError, AttributeError, TypeError) as error:
        journal.note(f"the downloads of this run could not be checked with this version of cwltool: {error}")
        return None, hooks


def _container_advice(plan: Plan) -> str:
    """Explain how to run a tool that requires a container when no container engine is used."""
    if plan.parameters.container is None:
        return (
            "neither Docker nor Podman answers on the daemon's machine: start one of them, or submit the run with "
            "the engine parameter container=singularity where Singularity is installed"
        )
    return (
        "the engine parameter container=none forbids one: omit it to use Docker or Podman, or set it to "
        "docker, podman, singularity or udocker"
    )


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
