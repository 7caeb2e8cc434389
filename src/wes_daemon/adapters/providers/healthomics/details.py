"""The details of a run: its outputs from S3, its tasks, and the addresses of its CloudWatch logs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from urllib.parse import quote, urlsplit

from wes_daemon.adapters.providers.healthomics.client import Answer, HealthOmicsClient, Refusal
from wes_daemon.adapters.providers.healthomics.runs import failure_message, utc
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow
from wes_daemon.application.ports.providers import ProviderTask, RunDetails

LOCATION_OUTPUT = "runOutputUri"
"""Name of the only output of a run without a summary of outputs: the service's own name for their location."""

LOG_GROUP = "/aws/omics/WorkflowLog"

MANIFEST = "manifest/run/"
"""Followed by ID/UUID it is the log stream that describes a run at its end, and outlives the run's record."""

# A list does not contain the reason for a task's failure; the first ones are enough.
_MAX_EXPLAINED_FAILURES = 25
_EARLIEST = datetime.min.replace(tzinfo=UTC)

# The engine writes one of them beside the outputs; the service's pages name both.
_SUMMARIES = ("logs/outputs.json", "logs/output.json")
_MAX_SUMMARY_BYTES = 8 * 1024 * 1024
_MAX_SUMMARY_DELAY = timedelta(minutes=2)
_CWL_FILE_CLASSES = ("File", "Directory")

# By the AWS partition, which is the beginning of the region's name.
_CONSOLE_HOSTS = {"cn": "console.amazonaws.cn", "us-gov": "console.amazonaws-us-gov.com"}
_STREAM_IN_ARN = ":log-stream:"


class DetailsReader:
    """Reads the details of one run at a time."""

    def __init__(self, client: HealthOmicsClient, *, clock: Clock, region: str) -> None:
        self._client = client
        self._clock = clock
        self._region = region

    def read(self, run: Answer) -> RunDetails:
        """Return the details of a run.

        Args:
            run: the answer of GetRun.

        Raises:
            NotNow: tasks or outputs cannot be read now.
        """
        outputs = self._outputs(run)
        is_logged = run.get("logLevel") != "OFF"
        run_log, engine_log = _run_streams(run)
        return RunDetails(
            outputs=outputs.outputs,
            stdout=self._console_url(run_log) if is_logged else None,
            stderr=self._console_url(engine_log) if is_logged and run.get("status") == "FAILED" else None,
            system_logs=(*_run_notes(run), *outputs.system_logs),
            tasks=self._tasks(str(run["id"]), is_logged=is_logged),
        )

    def _outputs(self, run: Answer) -> RunDetails:
        """Return outputs, and notes about them in `system_logs`; a run that is not completed has no outputs."""
        uri = str(run.get("runOutputUri") or "")
        if run.get("status") != "COMPLETED":
            return RunDetails(system_logs=(f"outputs, if any: {uri}",) if uri else ())
        if not uri.startswith("s3://"):
            return RunDetails(system_logs=("HealthOmics does not report the location of the outputs",))
        # Only Nextflow runs have an engine version, and Nextflow writes no summary.
        if run.get("engineVersion"):
            return _location_only(uri, "Nextflow writes no summary of outputs: see their location")
        return self._outputs_in_summary(uri, run.get("stopTime"))

    def _outputs_in_summary(self, uri: str, stopped_at: datetime | None) -> RunDetails:
        refusals = []
        for name in _SUMMARIES:
            try:
                return _parse_summary(self._read_file(uri, name), uri)
            except Refusal as refusal:
                refusals.append(f"{name}: {refusal}")
        if stopped_at and self._clock.now() - stopped_at < _MAX_SUMMARY_DELAY:
            raise NotNow(f"the summary of outputs is not there yet: {'; '.join(refusals)}")
        return _location_only(uri, f"no summary of outputs can be read: {'; '.join(refusals)}")

    def _read_file(self, uri: str, name: str) -> bytes:
        location = urlsplit(uri)
        key = f"{location.path.strip('/')}/{name}".lstrip("/")
        return self._client.read_object(location.netloc, key, max_bytes=_MAX_SUMMARY_BYTES)

    def _tasks(self, run_id: str, *, is_logged: bool) -> Sequence[ProviderTask]:
        listed = {item["taskId"]: item for item in sorted(self._client.tasks(run_id), key=_creation_order)}
        failed = (task_id for task_id, item in listed.items() if item.get("status") == "FAILED")
        explained = {id: self._client.get_task(run_id, id) for id in islice(failed, _MAX_EXPLAINED_FAILURES)}
        tasks = [{**item, **explained.get(task_id, {})} for task_id, item in listed.items()]
        return [self._task(run_id, task, is_logged=is_logged) for task in tasks]

    def _task(self, run_id: str, task: Answer, *, is_logged: bool) -> ProviderTask:
        task_id = task["taskId"]
        stream = stream_name(task.get("logStream"), default=task_stream(run_id, task_id))
        # One stream contains both stdout and stderr.
        log_url = self._console_url(stream) if is_logged else None
        return ProviderTask(
            id=task_id,
            name=str(task.get("name") or f"task {task_id}"),
            started_at=utc(task.get("startTime")),
            ended_at=utc(task.get("stopTime")),
            stdout=log_url,
            stderr=log_url,
            system_logs=tuple(_task_notes(task, stream if is_logged else None)),
        )

    def _console_url(self, stream: str) -> str:
        return console_url(self._region, stream)


def task_stream(run_id: str, task_id: str) -> str:
    """Return the default name of a task's log stream, which contains stdout and stderr."""
    return f"run/{run_id}/task/{task_id}"


def stream_name(reported: str | None, *, default: str) -> str:
    """Return the name of a log stream, which the service reports by itself or at the end of an ARN."""
    return reported.rpartition(_STREAM_IN_ARN)[2] if reported else default


def console_url(region: str, stream: str) -> str:
    """Return the address of a log stream in the CloudWatch console."""
    hosts = (host for prefix, host in _CONSOLE_HOSTS.items() if region.startswith(prefix))
    console = next(hosts, "console.aws.amazon.com")
    path = f"log-groups/log-group/{_console_escaped(LOG_GROUP)}/log-events/{_console_escaped(stream)}"
    return f"https://{region}.{console}/cloudwatch/home?region={region}#logsV2:{path}"


def _console_escaped(name: str) -> str:
    """Percent-encode twice and replace each `%` with `$`, as the console does behind the `#`."""
    return quote(quote(name, safe=""), safe="").replace("%", "$")


def _run_streams(run: Answer) -> tuple[str, str]:
    """Return the stream of the run and that of the engine, which only failed runs have."""
    reported, run_id = run.get("logLocation") or {}, str(run["id"])
    return (
        stream_name(reported.get("runLogStream"), default=f"run/{run_id}"),
        stream_name(reported.get("engineLogStream"), default=f"run/{run_id}/engine"),
    )


def _run_notes(run: Answer) -> Iterator[str]:
    version = run.get("workflowVersionName")
    yield (
        f"HealthOmics run {run['id']}, workflow {run.get('workflowId')}"
        f"{f' version {version}' if version else ', default version'}, {run.get('status')}"
    )
    if run.get("logLevel") != "OFF":
        manifest = f", {MANIFEST}{run['id']}/{run['uuid']}" if run.get("uuid") else ""
        yield f"log streams in {LOG_GROUP}: {_run_streams(run)[0]}{manifest}"
    if message := failure_message(run):
        yield message


def _task_notes(task: Answer, stream: str | None) -> Iterator[str]:
    yield str(task.get("status") or "unknown status")
    if stream:
        yield f"log stream in {LOG_GROUP}: {stream}"
    if task.get("cacheHit"):
        yield f"taken from the run cache: {task.get('cacheS3Uri') or 'location not reported'}"
    if message := failure_message(task):
        yield message


def _creation_order(task: Answer) -> tuple[datetime, int, str]:
    return task.get("creationTime") or _EARLIEST, len(task["taskId"]), task["taskId"]


def _location_only(uri: str, note: str) -> RunDetails:
    return RunDetails(outputs={LOCATION_OUTPUT: uri}, system_logs=(note,))


def _parse_summary(summary: bytes, uri: str) -> RunDetails:
    if len(summary) > _MAX_SUMMARY_BYTES:
        return _location_only(uri, f"the summary of outputs is longer than {_MAX_SUMMARY_BYTES:,} bytes")
    try:
        values = json.loads(summary)
    except ValueError as error:
        return _location_only(uri, f"the summary of outputs is not JSON: {error}")
    if not isinstance(values, Mapping):
        return _location_only(uri, "the summary of outputs is not a JSON object")
    return RunDetails(outputs={name: _with_complete_addresses(value, uri) for name, value in values.items()})


def _with_complete_addresses(value: object, uri: str) -> object:
    """Complete the addresses of CWL files, which the service may leave incomplete; keep everything else."""
    if isinstance(value, list):
        return [_with_complete_addresses(item, uri) for item in value]
    if not isinstance(value, dict):
        return value
    result = {name: _with_complete_addresses(item, uri) for name, item in value.items()}
    if value.get("class") in _CWL_FILE_CLASSES and isinstance(value.get("location"), str):
        result["location"] = _complete_address(value["location"], uri)
    return result


def _complete_address(location: str, uri: str) -> str:
    if "://" in location:
        return location
    if location.startswith(f"{urlsplit(uri).netloc}/"):
        return f"s3://{location}"
    return f"{uri.rstrip('/')}/{location}" if location.startswith("out/") else location
