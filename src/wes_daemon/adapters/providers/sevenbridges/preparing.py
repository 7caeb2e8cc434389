"""Inputs made ready: every file of a plan is one of the platform, or the run has to wait for that."""

from collections.abc import Mapping
from datetime import timedelta

from wes_daemon.adapters.providers.sevenbridges.apps import file_ports
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, meaning
from wes_daemon.adapters.providers.sevenbridges.inputs import Reference, Visit, as_files, bare_paths, replaced
from wes_daemon.adapters.providers.sevenbridges.locating import Locator
from wes_daemon.adapters.providers.sevenbridges.payloads import Plan
from wes_daemon.application.ports.errors import AnswerLost, NotNow, OutcomeUnknown, Unavailable

_IMPORTS_TAKE = timedelta(seconds=30)


class InputPreparation:
    """Turns the inputs of a plan into what a task takes."""

    def __init__(self, client: SevenBridgesClient, locator: Locator) -> None:
        self._client = client
        self._locator = locator

    def __call__(self, plan: Plan) -> Mapping[str, object]:
        """The inputs with ids for files; imports that are needed are started and not waited for.

        Raises:
            NotNow: imports are under way; says when to look again.
            Rejected: a file cannot be had.
        """
        waiting: list[str] = []

        def located(reference: Reference) -> str:
            id = self._locator.file_id(reference, plan.project, plan.attachments)
            if id is None:
                waiting.append(str(reference))
            return id or ""

        inputs = self._replaced(plan, located)
        if waiting:
            raise NotNow(f"import under way: {', '.join(waiting)}", retry_after=_IMPORTS_TAKE)
        return inputs

    def _replaced(self, plan: Plan, visit: Visit) -> Mapping[str, object]:
        try:
            return replaced(self._written_out(plan), visit)
        except Failure as failure:
            # A folder or an import may have been made; a run was certainly not, and what was made is found again.
            meant = meaning(failure)
            if isinstance(meant, OutcomeUnknown):
                kind = Unavailable if isinstance(meant, AnswerLost) else NotNow
                raise kind(str(failure), retry_after=failure.retry_after) from failure
            raise

    def _written_out(self, plan: Plan) -> Mapping[str, object]:
        """The app is asked for its ports only where text may stand for a file."""
        bare = bare_paths(plan.inputs)
        if not bare:
            return plan.inputs
        ports = file_ports(self._client, plan.app)
        return as_files(plan.inputs, {port: kind for port, kind in ports.items() if port in bare})
