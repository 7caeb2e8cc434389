"""What can be told of a run beyond its state: outputs, logs and tasks."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from wes_daemon.adapters.providers.healthomics import logs
from wes_daemon.adapters.providers.healthomics.client import HealthOmicsClient
from wes_daemon.adapters.providers.healthomics.outputs import OutputReader
from wes_daemon.adapters.providers.healthomics.states import moment, reason
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.providers import ProviderTask, RunDetails

Answer = Mapping[str, Any]

_FAILURES_EXPLAINED = 25
"""Failed tasks that are asked for one by one, since lists do not tell why a task failed; the first tell enough."""

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class DetailsReader:
    """Collects the details of one run at a time."""

    def __init__(self, client: HealthOmicsClient, *, clock: Clock, region: str) -> None:
        self._client = client
        self._region = region
        self._outputs = OutputReader(client, clock)

    def __call__(self, run: Answer) -> RunDetails:
        """The details of the run that GetRun told of.

        Raises:
            NotNow: something cannot be read at the moment.
        """
        outputs = self._outputs(run)
        is_logged = run.get("logLevel") != "OFF"
        run_log, engine_log = _run_streams(run)
        return RunDetails(
            outputs=outputs.values,
            stdout=self._console(run_log) if is_logged else None,
            stderr=self._console(engine_log) if is_logged and run.get("status") == "FAILED" else None,
            system_logs=(*_facts(run), *outputs.notes),
            tasks=self._tasks(str(run["id"]), is_logged=is_logged),
        )

    def _tasks(self, run_id: str, *, is_logged: bool) -> Sequence[ProviderTask]:
        listed = {item["taskId"]: item for item in sorted(self._client.tasks(run_id), key=_place)}
        failed = (task_id for task_id, item in listed.items() if item.get("status") == "FAILED")
        whole = {task_id: self._client.get_task(run_id, task_id) for task_id in islice(failed, _FAILURES_EXPLAINED)}
        tasks = [{**item, **whole.get(task_id, {})} for task_id, item in listed.items()]
        return [self._task(run_id, task, is_logged=is_logged) for task in tasks]

    def _task(self, run_id: str, task: Answer, *, is_logged: bool) -> ProviderTask:
        task_id = task["taskId"]
        stream = logs.stream_name(task.get("logStream"), otherwise=logs.task_stream(run_id, task_id))
        address = self._console(stream) if is_logged else None
        return ProviderTask(
            id=task_id,
            name=str(task.get("name") or f"task {task_id}"),
            started_at=moment(task.get("startTime")),
            ended_at=moment(task.get("stopTime")),
            # One stream holds both.
            stdout=address,
            stderr=address,
            system_logs=tuple(_task_facts(task, stream if is_logged else None)),
        )

    def _console(self, stream: str) -> str:
        return logs.console_url(self._region, stream)


def _run_streams(run: Answer) -> tuple[str, str]:
    told, run_id = run.get("logLocation") or {}, str(run["id"])
    return (
        logs.stream_name(told.get("runLogStream"), otherwise=logs.run_stream(run_id)),
        logs.stream_name(told.get("engineLogStream"), otherwise=logs.engine_stream(run_id)),
    )


def _facts(run: Answer) -> Iterator[str]:
    version = run.get("workflowVersionName")
    yield (
        f"HealthOmics run {run['id']}, workflow {run.get('workflowId')}"
        f"{f' version {version}' if version else ', default version'}, {run.get('status')}"
    )
    if run.get("logLevel") != "OFF":
        manifest = f", {logs.manifest_stream(str(run['id']), run['uuid'])}" if run.get("uuid") else ""
        yield f"log streams in {logs.GROUP}: {_run_streams(run)[0]}{manifest}"
    if why := reason(run):
        yield why


def _task_facts(task: Answer, stream: str | None) -> Iterator[str]:
    yield str(task.get("status") or "unknown status")
    if stream:
        yield f"log stream in {logs.GROUP}: {stream}"
    if task.get("cacheHit"):
        yield f"taken from the run cache: {task.get('cacheS3Uri') or 'place not told'}"
    if why := reason(task):
        yield why


def _place(task: Answer) -> tuple[datetime, int, str]:
    """In the order of their making, whatever the order of the list."""
    return task.get("creationTime") or _EARLIEST, len(task["taskId"]), task["taskId"]
