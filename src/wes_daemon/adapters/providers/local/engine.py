"""The subprocess that is cwltool: `python -m wes_daemon.adapters.providers.local.engine DIRECTORY`."""

import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from wes_daemon.adapters.providers.local.durable import read_object
from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine
from wes_daemon.adapters.providers.local.environment import RUN_VARIABLE
from wes_daemon.adapters.providers.local.journal import Journal
from wes_daemon.adapters.providers.local.plan import Plan
from wes_daemon.adapters.providers.local.result import NO_CWLTOOL, TERMINATED
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
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
    """Run the workflow of one directory; returns cwltool's exit code."""
    run = RunDirectory(Path(arguments[0]))
    if find_spec("cwltool") is None:
        advice = "pip install 'wes-daemon[local]' or, in a clone, pip install '.[local]'"
        print(f"cwltool is not installed: {advice}", file=sys.stderr)  # noqa: T201 -- our log
        return NO_CWLTOOL
    plan = Plan.read(read_object(run.request) or {})
    return _run(plan, Journal(run.steps, SystemClock()), run)


def cwltool_arguments(plan: Plan, run: RunDirectory) -> list[str]:
    """cwltool's command line. Whatever comes from the request is an element of a closed set, or follows the `--`."""
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


def _run(plan: Plan, journal: Journal, run: RunDirectory) -> int:
    from cwltool.main import main as run_cwltool

    arguments = cwltool_arguments(plan, run)
    # cwltool's own handler waits ten seconds for the tools, which whoever ends us has ended already.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        from wes_daemon.adapters.providers.local.judging import judging_executor
        from wes_daemon.adapters.providers.local.recording import recording_context

        executor = judging_executor(parallel=plan.parameters.parallel)
        context = recording_context(arguments, journal, run.steps, container_advice=_container_advice(plan))
    except (ImportError, AttributeError, TypeError) as error:
        # Another release of cwltool may have moved what we listen at: the workflow matters more than its details.
        journal.note(f"the steps of this run could not be recorded with this version of cwltool: {error}")
        return run_cwltool([f"--preserve-environment={RUN_VARIABLE}", *arguments])
    return run_cwltool(arguments, executor=executor, loadingContext=context)


def _container_advice(plan: Plan) -> str:
    """What would let a tool run that needs a container where there is none."""
    if plan.parameters.container is None:
        return (
            "neither Docker nor Podman answers on the daemon's machine: start one of them, or submit the run with "
            "the engine parameter container=singularity where Singularity is installed"
        )
    return (
        "the engine parameter container=none forbids one: leave it out, which takes Docker or Podman, or name "
        "docker, podman, singularity or udocker"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
