"""The process that executes cwltool: `python -m wes_daemon.adapters.providers.local.engine DIRECTORY`.

The runner starts it; its stdout and stderr are cwltool's.
"""

import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine
from wes_daemon.adapters.providers.local.journal import Journal
from wes_daemon.adapters.providers.local.plan import Plan
from wes_daemon.adapters.providers.local.run_directory import (
    NO_CWLTOOL,
    RUN_VARIABLE,
    TERMINATED,
    RunDirectory,
    read_object,
)
from wes_daemon.adapters.system import SystemClock

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
        f"--on-error={parameters.on_error}",
        *(f"--preserve-environment={variable}" for variable in parameters.preserve_environment),
        *_CONTAINER_OPTIONS[parameters.container],
        *("--", plan.document_address(run), str(run.attachments / plan.inputs_file)),
    ]


def _execute(plan: Plan, run: RunDirectory) -> int:
    from cwltool.main import main as run_cwltool

    arguments = cwltool_arguments(plan, run)
    journal = Journal(run.steps, SystemClock())
    # cwltool's own handler waits ten seconds for the tools; the runner has sent SIGTERM to them as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        from wes_daemon.adapters.providers.local.cwltool_hooks import input_checking_executor, recording_context

        executor = input_checking_executor(journal, parallel=plan.parameters.parallel)
        context = recording_context(arguments, journal, run.steps, container_advice=_container_advice(plan))
    except (ImportError, AttributeError, TypeError) as error:
        # Another version of cwltool may lack the hooks: the run is executed without them, and without its steps.
        journal.note(f"the steps of this run could not be recorded with this version of cwltool: {error}")
        return run_cwltool([f"--preserve-environment={RUN_VARIABLE}", *arguments])
    return run_cwltool(arguments, executor=executor, loadingContext=context)


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
    sys.exit(main(sys.argv[1:]))
