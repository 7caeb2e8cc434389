"""A task as the service describes it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import NO_TASK_ID, TASK_NOT_FOUND, Failure
from wes_daemon.adapters.providers.sevenbridges.reading import as_objects, as_text

DRAFT = "DRAFT"
_FIELDS = "id,name,description,status,parent,batch,errors"

_TASK_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NO_SUCH_TASK = frozenset({TASK_NOT_FOUND, NO_TASK_ID})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What has to be known of a task to decide whether to start it.

    Attributes:
        is_batch, is_child: whether it was split into tasks, or is one of those.
        problems: why the service will not run this draft, input by input; not errors at run time.
    """

    id: str
    name: str
    description: str
    status: str
    is_batch: bool
    is_child: bool = False
    problems: Sequence["Problem"] = ()

    @property
    def is_draft(self) -> bool:
        """Whether it was never run."""
        return self.status == DRAFT


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One entry of a task's `errors`, which tell of validation alone."""

    input: str
    message: str

    @property
    def is_about_money(self) -> bool:
        """Whether somebody has to pay before it goes away; the service has no type for that, only words."""
        return not self.input and bool(re.search(r"\b(funds|billing|payment)\b", self.message, re.IGNORECASE))

    def __str__(self) -> str:
        return f"{self.input}: {self.message}" if self.input else self.message


def is_task_id(text: str) -> bool:
    """Whether the service could know a task of this id: all are UUIDs (source: the SDK refuses others)."""
    return _TASK_ID.fullmatch(text) is not None


def read_task(found: Mapping[str, object]) -> Task:
    """The task that an answer describes."""
    return Task(
        id=as_text(found.get("id")),
        name=as_text(found.get("name")),
        description=as_text(found.get("description")),
        status=as_text(found.get("status")),
        is_batch=found.get("batch") is True,
        is_child=bool(found.get("parent")),
        problems=[_problem(entry) for entry in as_objects(found.get("errors"))],
    )


def get_task(client: SevenBridgesClient, id: str, fields: str | None = None) -> Mapping[str, object] | None:
    """A task by its id, or None where the service says that there is none."""
    if not is_task_id(id):
        return None
    try:
        return client.get("GetTask", f"/tasks/{id}", fields=fields)
    except Failure as failure:
        if is_no_such_task(failure):
            return None
        raise


def read_draft(client: SevenBridgesClient, id: str) -> Task | None:
    """The task as it is now, or None where the service knows none."""
    found = get_task(client, id, _FIELDS)
    return None if found is None else read_task(found)


def is_no_such_task(failure: Failure) -> bool:
    """Whether the service says that it does not know the task, rather than the address."""
    return failure.code in _NO_SUCH_TASK


def _problem(entry: Mapping[str, object]) -> Problem:
    message = as_text(entry.get("message")) or as_text(entry.get("type")) or "refused without a word"
    return Problem(input=as_text(entry.get("input_id")), message=message)
