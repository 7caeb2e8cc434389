"""From a submission to one draft, and to none too many.

A draft costs nothing and does not start by itself.
Only the draft that the caller has recorded is ever run, so a second one that an unlucky moment leaves behind
is waste, which is removed, and no second run.
"""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, doubt, meaning
from wes_daemon.adapters.providers.sevenbridges.marked import MarkedTasks
from wes_daemon.adapters.providers.sevenbridges.payloads import Plan, task_body
from wes_daemon.adapters.providers.sevenbridges.preparing import InputPreparation
from wes_daemon.adapters.providers.sevenbridges.problems import refuse_invalid
from wes_daemon.adapters.providers.sevenbridges.removing import remove_surplus
from wes_daemon.adapters.providers.sevenbridges.tasks import Task, is_task_id, read_draft, read_task
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow, OutcomeUnknown
from wes_daemon.domain.runs import IdempotencyKey


class Drafts:
    """Finds the task of a submission, or makes its draft."""

    def __init__(
        self,
        client: SevenBridgesClient,
        config: SevenBridgesConfig,
        *,
        prepare_inputs: InputPreparation,
        clock: Clock,
    ) -> None:
        self._client = client
        self._config = config
        self._prepare_inputs = prepare_inputs
        self._clock = clock
        self._marked: dict[str, MarkedTasks] = {}
        self._doubts: dict[IdempotencyKey, datetime] = {}
        self._lock = threading.Lock()

    def task_for(self, plan: Plan) -> Task:
        """The task of this submission: one that an earlier attempt has left, else a new draft.

        Raises:
            Rejected: the request can never work.
            OutcomeUnknown: a draft may have been made; the next attempt finds it.
            Failure, NotNow: nothing was made.
        """
        if found := self._found(plan):
            return found
        self._wait_for_listing(plan.key)
        alone_since = self._alone_since(plan)
        draft = self._created(plan)
        refuse_invalid(self._client, draft)
        return self._settled(plan, draft) if alone_since is None else draft

    def _alone_since(self, plan: Plan) -> timedelta | None:
        """From when on a listing shows all that may ever be started under this key; None: only later than now."""
        return None if plan.key in self._doubts else plan.alone_since

    def _found(self, plan: Plan, own: Task | None = None) -> Task | None:
        """The task of all that bear the mark which counts; the other drafts are removed.

        Args:
            own: the draft that was made just now, and is known.
        """
        ids = self._marked_in(plan.project).ids(plan.key, since=None if own else self._alone_since(plan))
        tasks = [task for id in ids if (task := own if own and id == own.id else read_draft(self._client, id))]
        chosen = _chosen([task for task in tasks if _is_ours(task, plan)])
        if chosen:
            for task in tasks:
                if task.id != chosen.id and _is_surplus(task, plan):
                    remove_surplus(self._client, task.id)
            self._doubts.pop(plan.key, None)
        return chosen

    def _settled(self, plan: Plan, draft: Task) -> Task:
        """The draft, or an older one which another process has made at the same moment.

        Both look after they have made their own, so at least the later one sees both, and both choose the older.
        """
        try:
            return self._found(plan, draft) or draft
        except (Failure, NotNow) as error:
            evidence = f"the draft {draft.id} is made, but whether it is the only one is not known"
            raise doubt(evidence, error) from error

    def _wait_for_listing(self, key: IdempotencyKey) -> None:
        """After a lost answer the draft may exist and not be listed yet."""
        doubted_at = self._doubts.get(key)
        if doubted_at and self._clock.now() - doubted_at < self._config.listing_lag:
            raise OutcomeUnknown("whether an earlier attempt has made a draft is not known yet")

    def _created(self, plan: Plan) -> Task:
        body = task_body(plan, self._prepare_inputs(plan))
        try:
            task = read_task(self._client.post("CreateTask", "/tasks", body))
        except Failure as failure:
            if isinstance(meaning(failure), OutcomeUnknown):
                self._doubts[plan.key] = self._clock.now()
            raise
        if not is_task_id(task.id):
            self._doubts[plan.key] = self._clock.now()
            raise OutcomeUnknown("the answer to the new task has no id")
        self._doubts.pop(plan.key, None)
        return task

    def _marked_in(self, project: str) -> MarkedTasks:
        with self._lock:
            if project not in self._marked:
                self._marked[project] = MarkedTasks(
                    self._client, project, clock=self._clock, look_back=self._config.look_back
                )
            return self._marked[project]


def _chosen(tasks: Sequence[Task]) -> Task | None:
    """The one that has been run, else the oldest draft."""
    return next((task for task in tasks if not task.is_draft), tasks[0] if tasks else None)


def _is_ours(task: Task, plan: Plan) -> bool:
    """A task that runs may have been renamed; a draft of another name was made, and maybe changed, by a person.

    What a batch was split into bears the batch's description.
    """
    return not task.is_child and (not task.is_draft or _is_surplus(task, plan))


def _is_surplus(task: Task, plan: Plan) -> bool:
    """Whether it is a draft as we make them; how the service keeps line ends is not documented."""
    return task.is_draft and task.name == plan.key and task.description.startswith(plan.key)
