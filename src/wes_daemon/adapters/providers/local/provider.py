"""The provider that runs CWL on this machine."""

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from wes_daemon.adapters.providers.local.containers import ContainerEngines
from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine
from wes_daemon.adapters.providers.local.errors import translated, unusable
from wes_daemon.adapters.providers.local.inventory import marked_runs
from wes_daemon.adapters.providers.local.launch import launch_runner
from wes_daemon.adapters.providers.local.naming import directory_name, is_directory_name
from wes_daemon.adapters.providers.local.observation import observe
from wes_daemon.adapters.providers.local.payloads import details
from wes_daemon.adapters.providers.local.plan import Plan, plan
from wes_daemon.adapters.providers.local.preparation import discard, prepare, remove_stale_drafts
from wes_daemon.adapters.providers.local.result import Result
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.adapters.providers.local.states import report, unreadable
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import Misconfigured, OutcomeUnknown, Rejected
from wes_daemon.application.ports.providers import (
    Accepted,
    EndedPage,
    OwnedPage,
    ProviderLimits,
    Recorded,
    RunDetails,
    Submission,
    nothing_recorded,
)
from wes_daemon.domain.runs import IdempotencyKey, ProviderRunId, StatusReport

logger = logging.getLogger(__name__)

_NEEDED = ("cwltool", "psutil")


class LocalProvider:
    """A `WorkflowProvider` whose service is the file system and a process per run.

    All that it knows is in the runs' directories, so any number of these, in any processes on one machine, are one
    service. The run's id is the name of its directory, a function of the submission's key.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        clock: Clock,
        launch: Callable[[RunDirectory], None] = launch_runner,
    ) -> None:
        """Do nothing yet.

        Args:
            workdir: where the runs' directories are; made when the first run is submitted.
            launch: see to it that a runner takes the run.
        """
        self._workdir = workdir
        self._clock = clock
        self._launch = launch
        self._engines = ContainerEngines(clock)

    @property
    def limits(self) -> ProviderLimits:
        """A status costs a few small files."""
        return ProviderLimits(status_batch=500)

    def submit(self, submission: Submission) -> Accepted:
        """Prepare the run's directory and let a runner take it, as far as that has not been done."""
        run = self._run(submission.key)
        with self._translated():
            if not run.exists:
                self._prepare(run, submission)
            if not run.has_started:
                _require_cwltool()
                self._launch(run)
        if not run.has_started:
            raise OutcomeUnknown(f"run {run.path.name}: no runner has taken it yet; see {run.runner_log}")
        return Accepted(ProviderRunId(run.path.name))

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """One look at each run; for a run whose runner died, end what is left of it."""
        with self._translated():
            return {id: self._report(run) for id in ids if (run := self._find(id)) is not None}

    def cancel(self, id: ProviderRunId) -> None:
        """Mark the run, then wake its runner; without one, end here what is left."""
        with self._translated():
            run = self._find(id)
            if run is None or run.result is not None:
                return
            run.mark_cancelled(self._clock.now())
            if not run.ring() and observe(run).is_orphaned:
                self._bury(run)

    def owned_runs(
        self, since: datetime, *, after: str | None = None, recorded: Recorded = nothing_recorded
    ) -> OwnedPage:
        """As the port says; where there is no work directory, no run was ever prepared."""
        del recorded
        with self._translated():
            return marked_runs(self._workdir.resolve(), since, after) if self._workdir.is_dir() else OwnedPage()

    def ended(self, since: datetime, *, after: str | None = None) -> EndedPage:
        """As the port says: there is no list but the directories themselves."""
        del since, after
        return EndedPage()

    def delete_draft(self, id: ProviderRunId) -> bool:
        """As the port says; what no runner has taken is gone as if it had never been prepared."""
        with self._translated():
            run = self._find(id)
            return run is not None and discard(run, self._clock.now())

    def details(self, id: ProviderRunId) -> RunDetails:
        """What the run's files tell at this moment."""
        with self._translated():
            run = self._find(id)
            if run is None:
                raise Rejected(f"the local provider knows no run {id!r} in {self._workdir}")
            return details(run)

    def _run(self, key: IdempotencyKey) -> RunDirectory:
        return self._directory(directory_name(key))

    def _directory(self, name: str) -> RunDirectory:
        # One spelling for all processes, however each came to the work directory.
        return RunDirectory(self._workdir.resolve() / name)

    def _find(self, id: ProviderRunId) -> RunDirectory | None:
        if not self._workdir.is_dir():
            # Perhaps a disk that is not mounted: its runs are not lost, so they must not be called unknown.
            raise unusable(self._workdir, "there is no such directory")
        if not is_directory_name(id):
            return None
        return run if (run := self._directory(id)).exists else None

    def _prepare(self, run: RunDirectory, submission: Submission) -> None:
        judged = plan(submission)
        _require_cwltool()
        self._workdir.mkdir(parents=True, exist_ok=True)
        remove_stale_drafts(self._workdir, self._clock.now())
        prepare(run, self._with_container(judged), submission)

    def _with_container(self, judged: Plan) -> Plan:
        if judged.parameters.container is not None:
            return judged
        found = self._engines.preferred()
        # None stays none, so that a tool that needs a container is told that nothing answered.
        container = None if found is ContainerEngine.NONE else found
        return replace(judged, parameters=replace(judged.parameters, container=container))

    def _report(self, run: RunDirectory) -> StatusReport:
        try:
            marks = observe(run)
        except OSError as error:
            # One damaged directory must not hide the other runs.
            return unreadable(f"{run.path}: {error.strerror}")
        return report(replace(marks, result=self._bury(run)) if marks.is_orphaned else marks)

    def _bury(self, run: RunDirectory) -> Result:
        # psutil is an optional dependency, and not needed as long as all goes well.
        from wes_daemon.adapters.providers.local.ending import bury

        logger.warning("local.runner_died run=%s", run.path.name)
        return bury(run, self._clock.now())

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self._workdir)


def _require_cwltool() -> None:
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise Misconfigured(
            f"the local provider needs {' and '.join(missing)}, which this Python does not have: "
            "pip install 'wes-daemon[local]' or, in a clone, pip install '.[local]'"
        )
