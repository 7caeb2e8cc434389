"""Hooks into cwltool: check the names of the workflow's inputs, and record each step in the journal.

Only the interfaces that cwltool offers to embedding programs are used: `JobExecutor`,
`LoadingContext.construct_tool_object`, `CommandLineTool.make_job_runner`, and the hooks of `RuntimeContext`.
This module imports cwltool; only the engine process may import it.
"""

import difflib
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from cwltool.argparser import arg_parser
from cwltool.command_line_tool import CommandLineTool
from cwltool.context import LoadingContext, RuntimeContext
from cwltool.docker import PodmanCommandLineJob
from cwltool.errors import UnsupportedRequirement
from cwltool.executors import JobExecutor, MultithreadedJobExecutor, SingleJobExecutor
from cwltool.job import CommandLineJob, JobBase
from cwltool.process import Process, shortname
from cwltool.workflow import default_make_tool
from schema_salad.ref_resolver import uri_file_path

from wes_daemon.adapters.providers.local.journal import Journal, Step
from wes_daemon.adapters.providers.local.run_directory import RUN_VARIABLE

if TYPE_CHECKING:
    _Mixin = CommandLineJob
else:
    _Mixin = object

_LOGGER = logging.getLogger("cwltool")
_MAX_LISTED_NAMES = 30
_KILL_DELAY = timedelta(seconds=5)
# Names in a job object that are not inputs; besides them, names with ":" or "$" such as cwl:tool and $namespaces.
_RESERVED_NAMES = frozenset({"id", "__id"})


def input_checking_executor(journal: Journal, *, parallel: bool) -> JobExecutor:
    """Return the executor that cwltool would use, preceded by a check of the inputs' names."""
    return InputCheckingExecutor(MultithreadedJobExecutor() if parallel else SingleJobExecutor(), journal)


class InputCheckingExecutor(JobExecutor):
    """Executes a job object with `inner`, and notes the unknown inputs in it, which CWL runners ignore.

    A job object that lacks a required input as well is not executed: the unknown input may be the missing one.
    """

    def __init__(self, inner: JobExecutor, journal: Journal) -> None:
        super().__init__()
        self._inner = inner
        self._journal = journal

    def execute(
        self, process: Process, job_order_object: Any, runtime_context: RuntimeContext, logger: logging.Logger = _LOGGER
    ) -> tuple[Any, str]:
        inputs = process.tool["inputs"]
        if message := describe_unknown_inputs(inputs, job_order_object):
            if missing_inputs(inputs, job_order_object):
                logger.error(message)
                return None, "permanentFail"
            notice = f"{message}; CWL ignores what the workflow does not declare"
            logger.warning(notice)
            with suppress(OSError):  # A run whose notice cannot be recorded is executed all the same.
                self._journal.note(notice)
        if isinstance(self._inner, MultithreadedJobExecutor):
            # cwltool sets this only for an executor that it has created itself.
            runtime_context.select_resources = self._inner.select_resources
        return self._inner.execute(process, job_order_object, runtime_context, logger)

    def run_jobs(
        self, process: Process, job_order_object: Any, logger: logging.Logger, runtime_context: RuntimeContext
    ) -> None:
        self._inner.run_jobs(process, job_order_object, logger, runtime_context)


def describe_unknown_inputs(inputs: Sequence[Mapping[str, Any]], given: Mapping[str, object]) -> str:
    """Describe the unknown names in a job object that includes the defaults; empty when all names are known."""
    names = _names(inputs)
    unknown = [name for name in given if name not in names and _is_input_name(name)]
    if not unknown:
        return ""
    missing = missing_inputs(inputs, given)
    return " ".join(
        [
            *(f"the workflow has no input {name!r}{_suggestion(name, names)}" for name in unknown),
            *(f"Its required input {name!r} is missing." for name in missing),
            f"Its inputs are: {_listed(names)}" if names else "It has no inputs at all",
        ]
    )


def missing_inputs(inputs: Sequence[Mapping[str, Any]], given: Mapping[str, object]) -> Sequence[str]:
    """Return the names of the required inputs that a job object lacks."""
    by_name = zip(_names(inputs), inputs, strict=True)
    return [name for name, declared in by_name if given.get(name) is None and _is_required(declared)]


def recording_context(
    arguments: Sequence[str], journal: Journal, steps: Path, *, container_advice: str
) -> LoadingContext:
    """Return the context with which `cwltool.main.main` records its steps when called with the same arguments.

    Args:
        steps: the directory of the steps' logs.
        container_advice: the end of the error message for a tool that requires a container when there is none.
    """
    loading = LoadingContext(vars(arg_parser().parse_args(list(arguments))))

    def make_tool(toolpath_object: Any, loadingContext: LoadingContext) -> Process:  # noqa: N803 -- cwltool's names
        if toolpath_object.get("class") == "CommandLineTool":
            return RecordingTool(toolpath_object, loadingContext, journal, steps, container_advice)
        return default_make_tool(toolpath_object, loadingContext)

    loading.construct_tool_object = make_tool
    return loading


class RecordingTool(CommandLineTool):
    """A tool whose executions are recorded in the journal."""

    def __init__(
        self, document: Any, context: LoadingContext, journal: Journal, steps: Path, container_advice: str
    ) -> None:
        super().__init__(document, context)
        self._container_advice = container_advice
        self._journal = journal
        self._steps = steps

    @staticmethod
    def make_path_mapper(
        reffiles: Any,
        stagedir: str,
        runtimeContext: RuntimeContext,  # noqa: N803 -- cwltool's name
        separateDirs: bool,  # noqa: N803 -- cwltool's name
    ) -> Any:
        """Locate the files of a step with the class that the context names; older versions of cwltool ignore it."""
        return runtimeContext.path_mapper(reffiles, runtimeContext.basedir, stagedir, separateDirs)

    def make_job_runner(self, runtimeContext: RuntimeContext) -> type[JobBase]:  # noqa: N803 -- cwltool's name
        """Return a subclass of `RecordingJob` and of the job class that cwltool selects."""
        name = runtimeContext.name or tool_name(str(self.tool.get("id", "tool")))
        container, is_required = self.get_requirement("DockerRequirement")
        if is_required and not runtimeContext.use_container:
            raise UnsupportedRequirement(f"{name} needs a container, and {self._container_advice}")
        if container and runtimeContext.use_container:
            _download_image(container, runtimeContext)
        job_class = super().make_job_runner(runtimeContext)
        as_root = issubclass(job_class, PodmanCommandLineJob) and os.geteuid() == 0
        return type(
            f"Recording{job_class.__name__}",
            (RecordingJob, *([PodmanAsRoot] if as_root else []), job_class),
            {"journal": self._journal, "steps": self._steps, "step_name": name},
        )


class RecordingJob(_Mixin):
    """Mix-in that records the execution of one of cwltool's job classes."""

    journal: ClassVar[Journal]
    steps: ClassVar[Path]
    step_name: ClassVar[str]

    def run(self, runtimeContext: RuntimeContext, tmpdir_lock: Any = None) -> None:  # noqa: N803 -- cwltool's name
        """Execute the tool; a step that cannot be recorded is executed all the same."""
        cmd = [str(argument) for argument in self.command_line]
        try:
            step = self.journal.begin(self.step_name, cmd, stdout=self.stdout, stderr=self.stderr)
        except OSError:
            super().run(runtimeContext, tmpdir_lock)
            return
        if isinstance(self, CommandLineJob):
            # cwltool gives a tool a new environment; containers are found by their ids instead.
            self.environment[RUN_VARIABLE] = os.environ.get(RUN_VARIABLE, "")
        self._run(step, runtimeContext, tmpdir_lock)

    def process_monitor(self, sproc: "subprocess.Popen[str]") -> None:
        """Watch the tool, and kill it if it goes on after SIGTERM, which cwltool sends at the tool's time limit."""
        if not self.timelimit:
            super().process_monitor(sproc)
            return
        killer = threading.Timer(self.timelimit + _KILL_DELAY.total_seconds(), sproc.kill)
        killer.daemon = True
        killer.start()
        try:
            super().process_monitor(sproc)
        finally:
            killer.cancel()

    def _run(self, step: Step, given: RuntimeContext, tmpdir_lock: Any) -> None:
        outcome: dict[str, Any] = {}
        self._capture_outcome(outcome)
        with ExitStack() as files:
            try:
                if self.inplace_update:
                    self._separate_logs()
                super().run(self._with_logs(step, given, files), tmpdir_lock)
            finally:
                status = outcome.get("status", "permanentFail")
                self.journal.end(step, exit_code=outcome.get("exit_code"), status=status, time_limit=self.timelimit)

    def _with_logs(self, step: Step, given: RuntimeContext, files: ExitStack) -> RuntimeContext:
        context = given.copy()
        folder = self.steps / f"{step.number}"
        try:
            context.default_stdout = files.enter_context((folder / "stdout").open("wb"))
            context.default_stderr = files.enter_context((folder / "stderr").open("wb"))
        except OSError:
            return given  # Without logs, which a full disk cannot hold, the step is executed all the same.
        context.set_log_dir = lambda *_: str(folder / "declared")
        context.log_dir_handler = keep_logs
        return context

    def _separate_logs(self) -> None:
        """Give the files that the tool changes in place data of their own: they may be linked to a kept log."""
        for entry in self.generatefiles["listing"]:
            location = str(entry.get("location", ""))
            if entry.get("writable") and location.startswith("file:"):
                for path in _regular_files(Path(uri_file_path(location))):
                    separate_links(path)

    def _capture_outcome(self, outcome: dict[str, Any]) -> None:
        collect_outputs, output_callback = self.collect_outputs, self.output_callback

        def capture_exit_code(outdir: str, exit_code: int) -> Any:
            outcome["exit_code"] = exit_code
            return collect_outputs(outdir, exit_code)

        def capture_status(outputs: Any, status: str) -> None:
            outcome["status"] = status
            if output_callback is not None:
                output_callback(outputs, status)

        self.collect_outputs = capture_exit_code
        self.output_callback = capture_status


class PodmanAsRoot(PodmanCommandLineJob):
    """A job of Podman for root, who has no user namespace to keep: Podman 4.3 refuses to."""

    def create_runtime(self, env: Any, runtimeContext: RuntimeContext) -> tuple[list[str], str | None]:  # noqa: N803 -- cwltool's name
        """Return Podman's command line and the file of the container's id."""
        runtime, cidfile = super().create_runtime(env, runtimeContext)
        return [option for option in runtime if option != "--userns=keep-id"], cidfile


def keep_logs(outdir: str, base_path_logs: str, stdout_path: str | None, stderr_path: str | None) -> None:
    """Place the tool's declared stdout and stderr where cwltool collects outputs, and keep them as logs too.

    The files are linked and not copied, because a tool's stdout can be its result and large.
    """
    for log in dict.fromkeys(path for path in (stdout_path, stderr_path) if path):
        output = Path(outdir, os.path.relpath(log, base_path_logs))
        output.parent.mkdir(parents=True, exist_ok=True)
        output.unlink(missing_ok=True)
        try:
            output.hardlink_to(log)
        except OSError:
            shutil.copy2(log, output)


def separate_links(path: Path) -> None:
    """Replace a file that has several names by a copy, so that a change does not reach the other names."""
    if path.stat().st_nlink == 1:
        return
    descriptor, copy = mkstemp(prefix=".copy-", dir=path.parent)
    os.close(descriptor)
    try:
        shutil.copy2(path, copy)
        os.replace(copy, path)
    except BaseException:
        Path(copy).unlink(missing_ok=True)
        raise


def tool_name(id: str) -> str:
    """Return the name of a tool as its author wrote it: that of the process, else that of the file without `.cwl`."""
    parts = urlsplit(id)
    name = parts.fragment.rpartition("/")[2] or unquote(parts.path.rpartition("/")[2])
    return name.removesuffix(".cwl")


def _regular_files(path: Path) -> Iterable[Path]:
    found = path.rglob("*") if path.is_dir() else [path]
    return [each for each in found if each.is_file() and not each.is_symlink()]


def _download_image(container: MutableMapping[str, Any], runtime: RuntimeContext) -> None:
    """Replace the address of a container image by the downloaded file; cwltool would load an error page."""
    address = str(container.get("dockerLoad") or "")
    files = getattr(runtime.path_mapper, "run_files", None)
    if files and urlsplit(address).scheme in ("http", "https"):
        container["dockerLoad"] = str(files.input_file(address))


def _names(inputs: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    return [shortname(str(declared["id"])) for declared in inputs]


def _is_input_name(name: str) -> bool:
    return name not in _RESERVED_NAMES and not (":" in name or "$" in name)


def _is_required(declared: Mapping[str, Any]) -> bool:
    accepted = declared["type"] if isinstance(declared["type"], list) else [declared["type"]]
    return "default" not in declared and not {"null", "Any"} & {name for name in accepted if isinstance(name, str)}


def _suggestion(name: str, names: Collection[str]) -> str:
    by_folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else "."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_LISTED_NAMES
    return f"{', '.join(names[:_MAX_LISTED_NAMES])}{f', and {more} more' if more > 0 else ''}"
