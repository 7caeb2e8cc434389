"""The provider that runs CWL on the daemon's machine."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from wes_daemon.adapters.providers.local.containers import ContainerEngines
from wes_daemon.adapters.providers.local.disk import is_nearly_full, no_space, require_space
from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine, run_environment
from wes_daemon.adapters.providers.local.engines import ExternalEngine, require_program
from wes_daemon.adapters.providers.local.errors import translate_os_errors, unusable_directory
from wes_daemon.adapters.providers.local.plan import FETCH_TIMEOUT, Plan, make_plan, recorded_engine
from wes_daemon.adapters.providers.local.run_directory import Result, RunDirectory
from wes_daemon.adapters.providers.local.status import (
    deleted_report,
    details,
    read_snapshot,
    status_report,
    unreadable_report,
)
from wes_daemon.adapters.providers.local.work_directory import (
    delete_draft,
    directory_name,
    is_directory_name,
    list_owned_runs,
    prepare_run,
    remove_stale_drafts,
    remove_stale_markers,
)
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, OutcomeUnknown, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    Needed,
    OwnedPage,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    all_needed,
    nothing_recorded,
)
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, StatusReport
from wes_daemon.domain.states import RunState
from wes_daemon.plugins.base_provider import BaseProvider

logger = logging.getLogger(__name__)

RUNNER = "wes_daemon.adapters.providers.local.runner"
FINALISE = "--finalise"
_START_TIMEOUT = timedelta(seconds=30)
_ACTIVE = frozenset({RunState.INITIALIZING, RunState.RUNNING, RunState.CANCELING})
_REQUIRED_MODULES_OF_RUNNER = ("psutil",)
_REQUIRED_MODULES = ("cwltool", *_REQUIRED_MODULES_OF_RUNNER)


def launch_runner(run: RunDirectory, *options: str) -> None:
    """Start a runner; return when it has started the run, has found it started, or 30 seconds have passed.

    A second launch is harmless. Only `run.has_started` shows whether the run was started.

    Args:
        options: `--finalise` to complete the record of a run whose runner died.

    Raises:
        OSError: the process could not be created.
    """
    engine = recorded_engine(run)
    with run.runner_log.open("ab") as log, suppress(subprocess.TimeoutExpired):
        subprocess.run(
            # -P: do not import from the working directory.
            [sys.executable, "-P", "-m", RUNNER, *options, str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=run_environment(os.environ, also=engine.variables if engine else ()),
            cwd="/",
            start_new_session=True,
            timeout=_START_TIMEOUT.total_seconds(),
            check=False,
        )


def require_engine(engine: ExternalEngine | None) -> ExternalEngine | None:
    """Check that runs can be executed; return the engine with the path of its program.

    Args:
        engine: `None` is the built-in engine.

    Raises:
        Misconfigured: a package or the program of the engine is missing.
    """
    needed = _REQUIRED_MODULES if engine is None else _REQUIRED_MODULES_OF_RUNNER
    if missing := [name for name in needed if find_spec(name) is None]:
        raise Misconfigured(
            f"the local provider needs {' and '.join(missing)}, which this Python does not have: "
            "pip install 'wes-daemon[local]' or, in a clone, pip install '.[local]'"
        )
    return require_program(engine) if engine else None


class _Finalisers:
    """Launches runners that complete the record of lost runs, because an engine needs time to end its jobs.

    In threads, because many runs may be lost at once, as by a restart of the machine, and their statuses cannot wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._launching: set[RunDirectory] = set()

    def launch(self, run: RunDirectory) -> None:
        """Launch one, unless it is being launched; a second one is harmless, as a second runner is."""
        with self._lock:
            if run in self._launching:
                return
            self._launching.add(run)
        logger.warning("local.runner_died run=%s", run.path.name)
        threading.Thread(target=self._launch, args=(run,), daemon=True).start()

    def _launch(self, run: RunDirectory) -> None:
        try:
            with suppress(OSError):  # The next status of the run launches one again.
                launch_runner(run, FINALISE)
        finally:
            with self._lock:
                self._launching.discard(run)


class LocalProvider(BaseProvider):
    """A `WorkflowProvider` that keeps its state in the runs' directories and executes each run in its own process.

    All instances with the same work directory, in any processes on one machine, act as one provider.
    A run's id is the name of its directory, which is derived from the idempotency key.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        clock: Clock,
        launch: Callable[[RunDirectory], None] = launch_runner,
        fetch_timeout: timedelta = FETCH_TIMEOUT,
        engine: ExternalEngine | None = None,
    ) -> None:
        """Create the provider without accessing the file system.

        Args:
            workdir: contains the runs' directories; created by the first submission.
            launch: starts a runner for a run.
            fetch_timeout: the longest wait of a run for the next byte of a document or of an input file.
            engine: executes the runs that are started from now on; `None` is cwltool in a process of this package.
        """
        self._workdir = workdir
        self._clock = clock
        self._launch = launch
        self._fetch_timeout = fetch_timeout
        self._engine = engine
        self._finalisers = _Finalisers()
        self._container_engines = ContainerEngines(clock)

    @property
    def limits(self) -> ProviderLimits:
        """Return the limits. A batch is large, because a status costs only a few reads of small files."""
        return ProviderLimits(status_batch=500)

    def submit(self, submission: Submission) -> Accepted:
        """Prepare the run's directory and start a runner, unless that was already done."""
        run = self._run(submission.key)
        with self._translate_os_errors():
            if run.exists and not run.has_started:
                self._delete_draft_of_another_engine(run)
            if not run.exists:
                _require_no_processes(run)
                self._prepare(run, submission)
            if not run.has_started:
                require_engine(self._engine)
                require_space(run.path)  # The run could not be recorded as started, and would be in doubt.
                self._launch(run)
        if not run.has_started:
            raise OutcomeUnknown(f"run {run.path.name}: no runner has started it yet; see {run.runner_log}")
        return Accepted(ProviderRunId(run.path.name))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """Return the status of each run; finalises runs whose runner died."""
        with self._translate_os_errors():
            full = self._note_if_full()
            reports = {id: report for id in ids if (report := self._report(id)) is not None}
            return {id: _with_note(report, full) for id, report in reports.items()}

    def cancel(self, id: ProviderRunId) -> None:
        """Record the cancellation and wake the runner; finalises a run whose runner died."""
        with self._translate_os_errors():
            run = self._find(id)
            if run is None:
                self._cancel_deleted(id)
                return
            if run.result is not None:
                return
            run.record_cancellation(self._clock.now())
            if not run.wake_runner() and read_snapshot(run).is_orphaned:
                self._finalise(run)

    def owned_runs(
        self,
        since: datetime,
        *,
        after: str | None = None,
        recorded: Recorded = nothing_recorded,
        needed: Needed = all_needed,
    ) -> OwnedPage:
        """Return one page of the runs in the work directory; without a work directory there are none."""
        del recorded, needed
        with self._translate_os_errors():
            if not self._workdir.is_dir():
                return OwnedPage()
            return list_owned_runs(self._workdir.resolve(), since, after=after)

    def delete_draft(self, id: ProviderRunId) -> bool:
        """Delete a draft; return false when the run is no draft."""
        with self._translate_os_errors():
            run = self._find(id)
            return run is not None and delete_draft(run, self._clock.now())

    def details(self, id: ProviderRunId) -> RunDetails:
        """Return outputs, logs and tasks as far as the run's files contain them."""
        with self._translate_os_errors():
            run = self._find(id)
            if run is not None:
                return details(run)
            if deleted := self._find_deleted(id):
                return RunDetails(system_logs=[deleted_report(deleted, has_processes=False).message])
            raise Rejected(f"the local provider has no run {id!r} in {self._workdir}")

    def _run(self, key: IdempotencyKey) -> RunDirectory:
        return self._directory(directory_name(key))

    def _directory(self, name: str) -> RunDirectory:
        # Resolved, because processes recognise the run by its path, and may name the work directory in different ways.
        return RunDirectory(self._workdir.resolve() / name)

    def _find(self, id: ProviderRunId) -> RunDirectory | None:
        if not self._workdir.is_dir():
            # The disk may not be mounted. Its runs still exist, so they must not be reported as unknown.
            raise unusable_directory(self._workdir, "there is no such directory")
        if not is_directory_name(id):
            return None
        return run if (run := self._directory(id)).exists else None

    def _find_deleted(self, id: ProviderRunId) -> RunDirectory | None:
        return run if is_directory_name(id) and (run := self._directory(id)).was_deleted else None

    def _cancel_deleted(self, id: ProviderRunId) -> None:
        """End the processes of a run whose directory was deleted, as far as this machine has any."""
        run = self._find_deleted(id)
        if run is None:
            return
        from wes_daemon.adapters.providers.local.cleanup import end_processes

        run.active_marker.write_bytes(b"cancelled")
        end_processes(run, grace=timedelta())

    def _prepare(self, run: RunDirectory, submission: Submission) -> None:
        plan = replace(make_plan(submission, engine=self._engine), fetch_timeout=self._fetch_timeout)
        plan = replace(plan, engine=require_engine(self._engine))
        self._workdir.mkdir(parents=True, exist_ok=True)
        remove_stale_drafts(self._workdir, self._clock.now())
        remove_stale_markers(self._workdir, self._clock.now())
        prepare_run(run, submission, plan=self._with_container_engine(plan))

    def _delete_draft_of_another_engine(self, run: RunDirectory) -> None:
        """Delete a draft that was prepared for an engine which the setting names no more; it is prepared anew."""
        if recorded_engine(run) != require_engine(self._engine):
            delete_draft(run, self._clock.now())

    def _with_container_engine(self, plan: Plan) -> Plan:
        if plan.parameters.container is not None or plan.engine:
            return plan  # An external engine has a default of its own, and may run containers on other machines.
        found = self._container_engines.preferred()
        # `None` and not `NONE`, so that the error for a tool that requires a container says that no engine answered.
        container = None if found is ContainerEngine.NONE else found
        return replace(plan, parameters=replace(plan.parameters, container=container))

    def _report(self, id: ProviderRunId) -> StatusReport | None:
        try:
            run = self._find(id)
            if run is None:
                deleted = self._find_deleted(id)
                return deleted_report(deleted, has_processes=_has_processes(deleted)) if deleted else None
            snapshot = read_snapshot(run)
        except OSError as error:
            # One damaged directory must not hide the other runs.
            return unreadable_report(f"{self._workdir / id}: {error.strerror}")
        return status_report(replace(snapshot, result=self._finalise(run)) if snapshot.is_orphaned else snapshot)

    def _note_if_full(self) -> str:
        if not is_nearly_full(self._workdir):
            return ""
        kept = "the results of runs that end now are kept until there is space"
        return f"{no_space(self._workdir)} of DAEMON_LOCAL_WORKDIR={self._workdir}; {kept}"

    def _finalise(self, run: RunDirectory) -> Result | None:
        """Complete the record of a run whose runner died; `None` while its external engine is being ended."""
        # Imported here because psutil is an optional dependency, which the daemon needs only in this rare case.
        from wes_daemon.adapters.providers.local.cleanup import finalise

        if recorded_engine(run):
            self._finalisers.launch(run)
            return run.result
        logger.warning("local.runner_died run=%s", run.path.name)
        return finalise(run, self._clock.now())

    def _translate_os_errors(self) -> AbstractContextManager[None]:
        return translate_os_errors(self._workdir)


def _has_processes(run: RunDirectory) -> bool:
    # Imported here for the reason given in `_finalise`.
    from wes_daemon.adapters.providers.local.cleanup import find_processes

    return bool(find_processes(run))


def _require_no_processes(run: RunDirectory) -> None:
    if run.was_deleted and _has_processes(run):
        raise OutcomeUnknown(f"run {run.path.name}: its directory was deleted while it was running; cancel it first")


def _with_note(report: StatusReport, note: str) -> StatusReport:
    return replace(report, message=note) if note and report.state in _ACTIVE and not report.message else report
