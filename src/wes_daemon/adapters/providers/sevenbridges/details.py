"""Details of a run: outputs, logs and tasks. Files are given by id and DRS address, never by links that expire."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime

from wes_daemon.adapters.json_values import as_object, as_text
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient, as_message, as_time
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.errors import Failure
from wes_daemon.adapters.providers.sevenbridges.files import is_file_id
from wes_daemon.adapters.providers.sevenbridges.statuses import execution_jobs
from wes_daemon.adapters.providers.sevenbridges.tasks import get_fields
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import ProviderTask, RunDetails

_NEVER = datetime.max.replace(tzinfo=UTC)
_CHILDREN = {"order_by": "created_time", "order": "asc", "fields": "id,name,status,start_time,end_time"}
_STDOUT, _STDERR = "stdout", "stderr"
# From the exact name to the words that a name may contain; a name that only contains the letters comes last.
_SPELLINGS: Sequence[Mapping[str, Set[str]]] = (
    {_STDOUT: {"stdout"}, _STDERR: {"stderr"}},
    {_STDOUT: {"stdout"}, _STDERR: {"stderr"}},
    {_STDOUT: {"out"}, _STDERR: {"err"}},
    {_STDOUT: {"output"}, _STDERR: {"error", "errors"}},
)
_FILE = re.compile(r"/files/([0-9a-f]{24})\b")


def run_details(client: SevenBridgesClient, config: SevenBridgesConfig, id: str) -> RunDetails:
    """Return outputs, logs and tasks of a run.

    Raises:
        Rejected: the service does not know the task.
        Failure, NotNow: a call failed.
    """
    task = get_fields(client, id)
    if task is None:
        raise Rejected(f"Seven Bridges does not know a task {id}")
    return RunDetails(
        outputs=stable_outputs(as_object(task.get("outputs")), drs_host=config.known_drs_host),
        system_logs=list(_system_logs(task)),
        tasks=_tasks(client, config, id=id, task=task),
    )


def stable_outputs(outputs: Mapping[str, object], *, drs_host: str | None) -> Mapping[str, object]:
    """Return the task's outputs with stable addresses for files. Ports without a value are left out.

    Args:
        drs_host: None if the host of the platform's DRS addresses is not known.
    """
    return {port: _stable(value, drs_host) for port, value in outputs.items() if value is not None}


def _tasks(
    client: SevenBridgesClient, config: SevenBridgesConfig, *, id: str, task: Mapping[str, object]
) -> Sequence[ProviderTask]:
    """Return the jobs of a task, or the children of a batch, whose jobs would cost one call for each child."""
    if task.get("batch") is True:
        return [_child_task(child) for child in client.pages("ListTasks", "/tasks", {"parent": id, **_CHILDREN})]
    try:
        jobs = execution_jobs(client, id)
    except Failure as failure:
        # The call is documented as an early release. It may fail for a task without jobs, such as a draft.
        if not failure.is_permanent_refusal:
            raise
        jobs = []
    return [_job_task(job, job_id, config=config) for job_id, job in _with_ids(jobs)]


def _with_ids(jobs: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the jobs in the order in which they started, each with an id.

    The service gives jobs no ids, and a job that is retried appears twice under one name. The number within a name
    is stable, because later jobs start later.
    """
    seen: Counter[str] = Counter()
    for job in sorted(jobs, key=lambda job: as_time(job.get("start_time")) or _NEVER):
        name = as_text(job.get("name")) or "job"
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name}#{seen[name]}"), job


def _job_task(job: Mapping[str, object], id: str, *, config: SevenBridgesConfig) -> ProviderTask:
    logs = {
        name: address for name, link in as_object(job.get("logs")).items() if (address := _log_address(link, config))
    }
    status, command = as_text(job.get("status")), as_text(job.get("command_line"))
    return ProviderTask(
        id=id,
        name=as_text(job.get("name")) or "job",
        cmd=[command] if command else [],
        started_at=as_time(job.get("start_time")),
        ended_at=as_time(job.get("end_time")),
        stdout=logs.get(_log_name(logs, _STDOUT)),
        stderr=logs.get(_log_name(logs, _STDERR)),
        system_logs=[f"status: {status}", *(["retried"] if job.get("retried") else []), *_other_logs(logs)],
    )


def _child_task(child: Mapping[str, object]) -> ProviderTask:
    return ProviderTask(
        id=as_text(child.get("id")),
        name=as_text(child.get("name")) or as_text(child.get("id")),
        started_at=as_time(child.get("start_time")),
        ended_at=as_time(child.get("end_time")),
        system_logs=[f"status: {as_text(child.get('status'))}", f"task: {as_text(child.get('id'))}"],
    )


def _system_logs(task: Mapping[str, object]) -> Iterator[str]:
    """Yield what a person needs to find the task on the platform; the app has the revision that the service pinned."""
    yield f"task: {as_text(task.get('href'))}"
    yield f"app: {as_text(task.get('app'))}"
    progress = as_object(task.get("execution_status"))
    if message := as_text(progress.get("message")):
        yield f"message: {message}"
    if (code := progress.get("message_code")) is not None:
        yield f"message code: {code}"
    warnings = task.get("warnings")
    yield from (f"warning: {as_message(warning)}" for warning in (warnings if isinstance(warnings, list) else []))


def _log_address(link: object, config: SevenBridgesConfig) -> str | None:
    """Return the log file's address in the API, which is valid as long as the file exists; the link may expire."""
    match = _FILE.search(as_text(link))
    return f"{config.endpoint.rstrip('/')}/files/{match.group(1)}" if match else None


def _log_name(logs: Mapping[str, str], stream: str) -> str:
    """Return the name of the stream's log; empty if no log has such a name. The first of equally good names wins."""
    ranks = {name: rank for name in logs if (found := _stream(name)) and found[1] == stream for rank in [found[0]]}
    return min(ranks, key=lambda name: ranks[name], default="")


def _stream(name: str) -> tuple[int, str] | None:
    """Return which stream's log has this name, and how far the name is from an exact one; None for other logs.

    The service names no streams. Of `error_correction.out.log`, which has words for both, the nearer word counts.
    """
    words = re.split(r"[^a-z]+", name.lower())
    for rank, spellings in enumerate(_SPELLINGS):
        for stream in (_STDERR, _STDOUT):
            if spellings[stream] & ({name.lower()} if rank == 0 else set(words)):
                return rank, stream
    return next(((len(_SPELLINGS), stream) for stream in (_STDERR, _STDOUT) if stream[3:] in name.lower()), None)


def _other_logs(logs: Mapping[str, str]) -> Iterator[str]:
    streams = {_log_name(logs, _STDOUT), _log_name(logs, _STDERR)}
    return (f"{name}: {address}" for name, address in logs.items() if name not in streams)


def _stable(value: object, drs_host: str | None) -> object:
    if isinstance(value, list):
        return [_stable(item, drs_host) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = {name: _stable(item, drs_host) for name, item in value.items()}
    return _stable_file(inner, drs_host) if value.get("class") in ("File", "Directory") else inner


def _stable_file(file: Mapping[str, object], drs_host: str | None) -> Mapping[str, object]:
    """Remove `location`, which may be a link that expires, and `dirname`, a path on a worker that no longer exists."""
    kept = {name: value for name, value in file.items() if name not in ("location", "dirname")}
    id, name = file.get("path"), file.get("name")
    if drs_host and isinstance(id, str) and is_file_id(id):
        kept["location"] = f"drs://{drs_host}/{id}"
    return {"basename": name, **kept} if name and "basename" not in kept else kept
