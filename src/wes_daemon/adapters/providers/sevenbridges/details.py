"""Outputs and tasks of a run, as WES tells them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.errors import Failure
from wes_daemon.adapters.providers.sevenbridges.failures import execution_jobs
from wes_daemon.adapters.providers.sevenbridges.outputs import outputs
from wes_daemon.adapters.providers.sevenbridges.reading import as_moment, as_object, as_objects, as_text
from wes_daemon.adapters.providers.sevenbridges.tasks import get_task
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import ProviderTask, RunDetails

_NEVER = datetime.max.replace(tzinfo=UTC)
_CHILDREN = {"order_by": "created_time", "order": "asc", "fields": "id,name,status,start_time,end_time"}
_FILE = re.compile(r"/files/([0-9a-f]{24})\b")


def run_details(client: SevenBridgesClient, config: SevenBridgesConfig, id: str) -> RunDetails:
    """Everything else that the service tells of a task.

    Raises:
        Rejected: it does not know the task.
        Failure, NotNow: it could not be asked.
    """
    task = get_task(client, id)
    if task is None:
        raise Rejected(f"Seven Bridges does not know a task {id}")
    return RunDetails(
        outputs=outputs(as_object(task.get("outputs")), drs_host=config.known_drs_host),
        system_logs=list(_remarks(task)),
        tasks=_tasks(client, config, id, task),
    )


def _tasks(
    client: SevenBridgesClient, config: SevenBridgesConfig, id: str, task: Mapping[str, object]
) -> Sequence[ProviderTask]:
    """The jobs; of a batch the tasks that it was split into, whose jobs would be a call each."""
    if task.get("batch") is True:
        return [_child(child) for child in client.pages("ListTasks", "/tasks", {"parent": id, **_CHILDREN})]
    try:
        jobs = execution_jobs(client, id)
    except Failure as failure:
        # Documented as an early release; a task without jobs, such as a draft, may be answered with an error.
        if not failure.is_about_the_thing:
            raise
        jobs = []
    return [_job(job, name, config) for name, job in _named(jobs)]


def _named(jobs: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The jobs in the order in which they began, each with an id.

    Jobs have none of their own, and one that is tried again appears twice under one name:
    the number within a name stays the same, since later ones begin later.
    """
    seen: Counter[str] = Counter()
    for job in sorted(jobs, key=lambda job: as_moment(job.get("start_time")) or _NEVER):
        name = as_text(job.get("name")) or "job"
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name}#{seen[name]}"), job


def _job(job: Mapping[str, object], id: str, config: SevenBridgesConfig) -> ProviderTask:
    logs = {name: address for name, link in as_object(job.get("logs")).items() if (address := _address(link, config))}
    status, command = as_text(job.get("status")), as_text(job.get("command_line"))
    return ProviderTask(
        id=id,
        name=as_text(job.get("name")) or "job",
        cmd=[command] if command else [],
        started_at=as_moment(job.get("start_time")),
        ended_at=as_moment(job.get("end_time")),
        stdout=_first(logs, "out"),
        stderr=_first(logs, "err"),
        system_logs=[f"status: {status}", *(["retried"] if job.get("retried") else []), *_others(logs)],
    )


def _child(child: Mapping[str, object]) -> ProviderTask:
    return ProviderTask(
        id=as_text(child.get("id")),
        name=as_text(child.get("name")) or as_text(child.get("id")),
        started_at=as_moment(child.get("start_time")),
        ended_at=as_moment(child.get("end_time")),
        system_logs=[f"status: {as_text(child.get('status'))}", f"task: {as_text(child.get('id'))}"],
    )


def _remarks(task: Mapping[str, object]) -> Iterator[str]:
    """What a person would look up on the platform; the revision is the one that the service has pinned."""
    yield f"task: {as_text(task.get('href'))}"
    yield f"app: {as_text(task.get('app'))}"
    progress = as_object(task.get("execution_status"))
    if message := as_text(progress.get("message")):
        yield f"message: {message}"
    if (code := progress.get("message_code")) is not None:
        yield f"message code: {code}"
    for warning in as_objects(task.get("warnings")):
        yield f"warning: {as_text(warning.get('message'))}"


def _address(link: object, config: SevenBridgesConfig) -> str | None:
    """Where a log file can be read for as long as it exists; a link that may expire is worth nothing later."""
    found = _FILE.search(as_text(link))
    return f"{config.endpoint.rstrip('/')}/files/{found.group(1)}" if found else None


def _first(logs: Mapping[str, str], word: str) -> str | None:
    return next((address for name, address in logs.items() if word in _stream(name)), None)


def _stream(name: str) -> str:
    """Which stream a log is of, by its name: the service names no streams."""
    return "err" if re.search(r"err", name, re.IGNORECASE) else "out" if re.search(r"out", name, re.IGNORECASE) else ""


def _others(logs: Mapping[str, str]) -> Iterator[str]:
    named = {_first(logs, "out"), _first(logs, "err")}
    return (f"{name}: {address}" for name, address in logs.items() if address not in named)
