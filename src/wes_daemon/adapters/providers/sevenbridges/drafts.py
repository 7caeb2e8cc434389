"""The one draft of a submission: found among the project's tasks, or created.

A draft costs nothing and does not start by itself.
Only the draft that the caller has recorded is ever started. So an additional draft, which two simultaneous attempts
can create, is waste that is deleted, and never a second run.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta

from wes_daemon.adapters.json_values import as_text
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient, as_time
from wes_daemon.adapters.providers.sevenbridges.codes import PROJECT_CODES
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.errors import Failure, outcome_unknown, provider_error
from wes_daemon.adapters.providers.sevenbridges.inputs import InputFiles
from wes_daemon.adapters.providers.sevenbridges.task_request import TaskRequest, task_body
from wes_daemon.adapters.providers.sevenbridges.tasks import (
    PAGE_OVERLAP,
    Task,
    delete_surplus_draft,
    find_task,
    is_task_id,
    read_task,
    reject_invalid_draft,
)
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    NotNow,
    OutcomeUnknown,
    ProviderError,
    Rejected,
    Unavailable,
)
from wes_daemon.domain.runs import IdempotencyKey

_MAX_RECENT = 1_000
# More than the expected lag of a listing, and more than the expected difference of two clocks of the service.
_MARGIN = timedelta(minutes=5)
_MAX_MARKER_LENGTH = 80
# Searching the whole index for old tasks at each listing would cost more than the listing.
_FORGETS_EVERY = timedelta(hours=1)


class Drafts:
    """Finds the task of a submission, or creates its draft."""

    def __init__(
        self,
        client: SevenBridgesClient,
        config: SevenBridgesConfig,
        *,
        inputs: InputFiles,
        clock: Clock,
    ) -> None:
        self._client = client
        self._config = config
        self._inputs = inputs
        self._clock = clock
        self._owned_tasks: dict[str, OwnedTasks] = {}
        self._in_doubt_since: dict[IdempotencyKey, datetime] = {}
        self._recent: OrderedDict[str, Task] = OrderedDict()
        self._lock = threading.Lock()

    def find_or_create(self, request: TaskRequest) -> Task:
        """Return the task that an earlier attempt for this submission has created, or else a new draft.

        Raises:
            Rejected: the request can never work.
            OutcomeUnknown: a draft may have been created; the next attempt finds it.
            Failure, NotNow: nothing was created.
        """
        task = self._find(request) or self._create(request)
        if task.is_draft:
            self._remember(task)
        return task

    def recorded(self, id: str) -> Task | None:
        """Return the task whose draft is recorded, or None if the service does not know it.

        The first call after `find_or_create` sends no request.
        A refusal never rejects the run: an earlier attempt may have started the task.

        Raises:
            OutcomeUnknown: the service does not show the task.
            Failure, NotNow: the call failed; the settings have to be corrected, or it works later.
        """
        try:
            return self._recent.pop(id, None) or find_task(self._client, id)
        except Failure as failure:
            if failure.code in PROJECT_CODES:
                # The draft was created in that project, so a person can restore the access.
                raise NotNow(str(failure)) from failure
            if isinstance(provider_error(failure), Rejected | AmbiguousRefusal):
                raise outcome_unknown(f"it is unknown whether the draft {id} runs", failure) from failure
            raise

    def _find(self, request: TaskRequest, created: Task | None = None) -> Task | None:
        """Return the submission's task among all tasks with its ownership marker, and delete the surplus drafts.

        Args:
            created: the draft that this attempt has just created.
        """
        since = None if created else self._exclusive_since(request)
        ids = self._owned_tasks_in(request.project).ids(request.key, since=since)
        known = {created.id: created} if created else {}
        tasks = [task for id in ids if (task := known.get(id) or find_task(self._client, id))]
        chosen = _choose([task for task in tasks if _is_owned(task, request.key)])
        if chosen:
            for task in tasks:
                if task.id != chosen.id and _is_unmodified_draft(task, request.key):
                    delete_surplus_draft(self._client, task.id)
            self._in_doubt_since.pop(request.key, None)
        return chosen

    def _exclusive_since(self, request: TaskRequest) -> timedelta | None:
        """Return the monotonic time after which every listing contains all tasks that can be started under this key.

        None if only a listing that begins from now on is certain to contain them.
        """
        return None if request.key in self._in_doubt_since else request.exclusive_since

    def _create(self, request: TaskRequest) -> Task:
        self._refuse_within_listing_lag(request.key)
        exclusive_since = self._exclusive_since(request)
        draft = self._post_draft(request)
        reject_invalid_draft(self._client, draft)
        return draft if exclusive_since is not None else self._oldest(request, draft)

    def _refuse_within_listing_lag(self, key: IdempotencyKey) -> None:
        """Raise `OutcomeUnknown` while a draft may exist that is not listed yet, after an answer was lost."""
        in_doubt_since = self._in_doubt_since.get(key)
        if in_doubt_since and self._clock.now() - in_doubt_since < self._config.listing_lag:
            raise OutcomeUnknown("it is not known yet whether an earlier attempt has created a draft")

    def _post_draft(self, request: TaskRequest) -> Task:
        body = task_body(request, self._inputs.prepare(request))
        try:
            draft = read_task(self._client.post("CreateTask", "/tasks", body))
        except Failure as failure:
            if isinstance(provider_error(failure), OutcomeUnknown):
                self._in_doubt_since[request.key] = self._clock.now()
            raise
        if not is_task_id(draft.id):
            self._in_doubt_since[request.key] = self._clock.now()
            raise OutcomeUnknown("the answer about the new draft has no id")
        self._in_doubt_since.pop(request.key, None)
        return draft

    def _oldest(self, request: TaskRequest, draft: Task) -> Task:
        """Return the new draft, or an older one that another process created at the same time.

        Each process searches after it has created its own draft. So at least the later process sees both drafts, and
        each process that sees both chooses the older one.
        """
        try:
            return self._find(request, draft) or draft
        except (Failure, NotNow) as error:
            evidence = f"the draft {draft.id} was created, but it is unknown whether it is the only one"
            raise outcome_unknown(evidence, error) from error

    def _remember(self, draft: Task) -> None:
        self._recent[draft.id] = draft
        while len(self._recent) > _MAX_RECENT:
            self._recent.popitem(last=False)

    def _owned_tasks_in(self, project: str) -> "OwnedTasks":
        with self._lock:
            if project not in self._owned_tasks:
                self._owned_tasks[project] = OwnedTasks(
                    self._client, project, clock=self._clock, look_back=self._config.look_back
                )
            return self._owned_tasks[project]


class OwnedTasks:
    """The tasks of one project by ownership marker. One listing serves all threads that wait for a listing.

    The service has no filter by name, so tasks are listed by their time of creation: the first listing goes back by
    `look_back`, each later one begins where the one before ended, less a margin.
    """

    def __init__(self, client: SevenBridgesClient, project: str, *, clock: Clock, look_back: timedelta) -> None:
        self._client = client
        self._project = project
        self._clock = clock
        self._look_back = look_back
        self._ids: dict[str, dict[str, datetime]] = {}
        self._newest_listed: datetime | None = None
        self._kept_from: datetime | None = None
        self._listings_begun = 0
        # The monotonic time at which the last complete listing began.
        self._complete_from: timedelta | None = None
        self._latest: Future[None] = Future()
        self._listing_lock = threading.Lock()
        self._index_lock = threading.Lock()

    def ids(self, marker: str, *, since: timedelta | None = None) -> Sequence[str]:
        """Return the tasks whose name, or whose description's first line, is `marker`; the oldest first.

        By default the listing begins after this call. Tasks that were deleted after they were listed may be included.

        Args:
            since: a monotonic time; a listing that began later than this is used although it began before the call.

        Raises:
            Failure, NotNow: the listing failed.
        """
        if not self._is_listed_since(since):
            self._wait_for_listing(since)
        with self._index_lock:
            created = dict(self._ids.get(marker, {}))
        return sorted(created, key=lambda id: created[id])

    def _is_listed_since(self, since: timedelta | None) -> bool:
        """Whether a complete listing began after `since`. One that began at the same time may have begun before."""
        return since is not None and self._complete_from is not None and self._complete_from > since

    def _wait_for_listing(self, since: timedelta | None) -> None:
        """Wait for a listing that began after this call or after `since`, in this thread or another.

        Threads share a failed listing as well. Otherwise each of them would wait for an unresponsive service in turn.
        """
        begun_before = self._listings_begun
        with self._listing_lock:
            if self._is_listed_since(since):
                return
            is_own = self._listings_begun == begun_before
            if is_own:
                self._latest = Future()
                self._run_listing(self._latest)
            listing = self._latest
        try:
            listing.result()
        except Failure as failure:
            if is_own or not isinstance(provider_error(failure), Unavailable):
                raise
            # One failure of the service counts once: only the thread that made the call reports `Unavailable`.
            raise NotNow(str(failure), retry_after=failure.retry_after) from failure

    def _run_listing(self, outcome: Future[None]) -> None:
        self._listings_begun += 1
        begun_at = self._clock.monotonic()
        try:
            self._list()
            self._complete_from = begun_at
            outcome.set_result(None)
        except (Failure, ProviderError) as error:
            outcome.set_exception(error)
        finally:
            # After any other exception, which is a bug, threads that wait for this listing must not use an older one.
            outcome.cancel()

    def _list(self) -> None:
        oldest = self._clock.now() - self._look_back
        since = self._newest_listed - _MARGIN if self._newest_listed else oldest
        for task in self._created_since(since):
            created = as_time(task.get("created_time"))
            self._add(task, created or since)
            # The oldest tasks come first: after a failure the next listing continues from here.
            self._newest_listed = max(filter(None, (self._newest_listed, created)), default=None)
        self._forget_before(min(oldest, since))

    def _created_since(self, since: datetime) -> Iterator[Mapping[str, object]]:
        params = {
            "project": self._project,
            "created_from": since.strftime("%Y-%m-%dT%H:%M:%S"),
            "order_by": "created_time",
            "order": "asc",
            "fields": "id,name,description,created_time",
        }
        return self._client.pages("ListTasks", "/tasks", params, overlap=PAGE_OVERLAP)

    def _add(self, task: Mapping[str, object], created: datetime) -> None:
        for marker in {as_text(task.get("name")), as_text(task.get("description")).partition("\n")[0].strip()}:
            if 0 < len(marker) <= _MAX_MARKER_LENGTH:
                with self._index_lock:
                    self._ids.setdefault(marker, {})[as_text(task.get("id"))] = created

    def _forget_before(self, oldest: datetime) -> None:
        if self._kept_from and oldest - self._kept_from < _FORGETS_EVERY:
            return
        self._kept_from = oldest
        with self._index_lock:
            self._ids = {marker: ids for marker, ids in self._ids.items() if max(ids.values()) >= oldest}


def _choose(tasks: Sequence[Task]) -> Task | None:
    """Choose the task that was started, or else the oldest draft."""
    return next((task for task in tasks if not task.is_draft), tasks[0] if tasks else None)


def _is_owned(task: Task, key: IdempotencyKey) -> bool:
    """Whether the task is the submission's.

    A started task may have been renamed. A draft with another name was created, and perhaps changed, by a person.
    The children of a batch have the batch's description.
    """
    return not task.is_child and (not task.is_draft or _is_unmodified_draft(task, key))


def _is_unmodified_draft(task: Task, key: IdempotencyKey) -> bool:
    """Whether the draft is as this package creates it; it is not documented how the service stores line breaks."""
    return task.is_draft and task.name == key and task.description.startswith(key)
