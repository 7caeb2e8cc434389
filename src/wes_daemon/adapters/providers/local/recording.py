"""cwltool with our ear at each step: who began, with which command, where its logs are, how it ended.

Only what cwltool offers to programs that embed it is used: `LoadingContext.construct_tool_object`,
`CommandLineTool.make_job_runner`, and the hooks of `RuntimeContext`.
This module imports cwltool; only the subprocess that runs a workflow may import it.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cwltool.argparser import arg_parser
from cwltool.command_line_tool import CommandLineTool
from cwltool.context import LoadingContext, RuntimeContext
from cwltool.errors import UnsupportedRequirement
from cwltool.job import CommandLineJob, JobBase
from cwltool.process import Process, shortname
from cwltool.workflow import default_make_tool

from wes_daemon.adapters.providers.local.environment import RUN_VARIABLE
from wes_daemon.adapters.providers.local.journal import Journal, Step

if TYPE_CHECKING:
    _Mixin = CommandLineJob
else:
    _Mixin = object


def recording_context(
    arguments: Sequence[str], journal: Journal, steps: Path, *, container_advice: str
) -> LoadingContext:
    """What makes `cwltool.main.main`, called with the same arguments, write its steps into the journal.

    Args:
        steps: where the steps' logs go.
        container_advice: what is said where a tool needs a container and there is none.
    """
    loading = LoadingContext(vars(arg_parser().parse_args(list(arguments))))

    def make_tool(toolpath_object: Any, loadingContext: LoadingContext) -> Process:  # noqa: N803 -- cwltool's names
        if toolpath_object.get("class") == "CommandLineTool":
            return RecordedTool(toolpath_object, loadingContext, journal, steps, container_advice)
        return default_make_tool(toolpath_object, loadingContext)

    loading.construct_tool_object = make_tool
    return loading


class RecordedTool(CommandLineTool):
    """A tool whose executions are written down."""

    def __init__(
        self, document: Any, context: LoadingContext, journal: Journal, steps: Path, container_advice: str
    ) -> None:
        super().__init__(document, context)
        self._container_advice = container_advice
        self._journal = journal
        self._steps = steps

    def make_job_runner(self, runtimeContext: RuntimeContext) -> type[JobBase]:  # noqa: N803 -- cwltool's name
        """The class that cwltool would take, and in front of it the one that writes down."""
        name = runtimeContext.name or shortname(str(self.tool.get("id", "tool"))).removesuffix(".cwl")
        _, is_required = self.get_requirement("DockerRequirement")
        if is_required and not runtimeContext.use_container:
            raise UnsupportedRequirement(f"{name} needs a container, and {self._container_advice}")
        engine = super().make_job_runner(runtimeContext)
        return type(
            f"Recorded{engine.__name__}",
            (RecordedExecution, engine),
            {"journal": self._journal, "steps": self._steps, "step_name": name},
        )


class RecordedExecution(_Mixin):
    """Stands before one of cwltool's job classes and writes down what that does."""

    journal: ClassVar[Journal]
    steps: ClassVar[Path]
    step_name: ClassVar[str]

    def run(self, runtimeContext: RuntimeContext, tmpdir_lock: Any = None) -> None:  # noqa: N803 -- cwltool's name
        """Run the tool; that something cannot be written down must not hurt it."""
        cmd = [str(word) for word in self.command_line]
        try:
            step = self.journal.begin(self.step_name, cmd, stdout=self.stdout, stderr=self.stderr)
        except OSError:
            super().run(runtimeContext, tmpdir_lock)
            return
        if isinstance(self, CommandLineJob):
            # cwltool gives a tool an environment of its own; containers are found by their ids instead.
            self.environment[RUN_VARIABLE] = os.environ.get(RUN_VARIABLE, "")
        self._run(step, runtimeContext, tmpdir_lock)

    def _run(self, step: Step, given: RuntimeContext, tmpdir_lock: Any) -> None:
        seen: dict[str, Any] = {}
        self._listen(seen)
        with ExitStack() as files:
            context = given.copy()
            folder = self.steps / f"{step.number}"
            context.default_stdout = files.enter_context((folder / "stdout").open("wb"))
            context.default_stderr = files.enter_context((folder / "stderr").open("wb"))
            context.set_log_dir = lambda *_: str(folder / "declared")
            context.log_dir_handler = keep_logs
            try:
                super().run(context, tmpdir_lock)
            finally:
                self.journal.end(step, exit_code=seen.get("exit_code"), status=seen.get("status", "permanentFail"))

    def _listen(self, seen: dict[str, Any]) -> None:
        collect, call_back = self.collect_outputs, self.output_callback

        def collected(outdir: str, exit_code: int) -> Any:
            seen["exit_code"] = exit_code
            return collect(outdir, exit_code)

        def called_back(outputs: Any, status: str) -> None:
            seen["status"] = status
            if call_back is not None:
                call_back(outputs, status)

        self.collect_outputs = collected
        self.output_callback = called_back


def keep_logs(outdir: str, base_path_logs: str, stdout_path: str | None, stderr_path: str | None) -> None:
    """Let cwltool find the tool's declared stdout and stderr where it collects outputs, and keep them as logs too.

    They are linked and not copied, because a tool's stdout may be its result and large.
    """
    for log in dict.fromkeys(path for path in (stdout_path, stderr_path) if path):
        output = Path(outdir, os.path.relpath(log, base_path_logs))
        output.parent.mkdir(parents=True, exist_ok=True)
        output.unlink(missing_ok=True)
        try:
            output.hardlink_to(log)
        except OSError:
            shutil.copy2(log, output)
