"""Details of a run: outputs, logs and tasks, from the run log and, in WES 1.1, from the list of tasks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from wes_daemon.adapters.json_values import as_object, as_objects, as_text
from wes_daemon.adapters.providers.wes.client import WesClient, as_texts, as_time, run_path
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.errors import Failure
from wes_daemon.adapters.providers.wes.logs import address, exit_code, shorten, text_in_place
from wes_daemon.adapters.providers.wes.server_info import ServerInfoReader
from wes_daemon.adapters.providers.wes.statuses import state_of
from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import ProviderTask, RunDetails

# A server whose list of tasks never ends; WES has no limit.
_MAX_TASKS = 10_000


class DetailsReader:
    """Reads details. Safe to use from several threads."""

    def __init__(self, client: WesClient, config: WesConfig, info: ServerInfoReader) -> None:
        self._client = client
        self._config = config
        self._info = info

    def read(self, id: str) -> RunDetails:
        """Return outputs, logs and tasks of a run; costs one call, and one more for each page of tasks.

        Raises:
            Rejected: the server does not know the run.
            Failure, NotNow: a call failed.
        """
        try:
            log = self._client.run_log(id)
        except Failure as failure:
            if failure.is_unknown_run:
                raise Rejected(f"the WES server does not know a run {id}") from failure
            raise
        url = f"{self._config.base_url}{run_path(id)}"
        run_log = as_object(log.get("run_log"))
        return RunDetails(
            outputs=outputs(log.get("outputs"), url),
            stdout=address(run_log.get("stdout"), url),
            stderr=address(run_log.get("stderr"), url),
            exit_code=exit_code(run_log) if state_of(log).has_ended else None,
            system_logs=[self._client.public(line) for line in _system_logs(run_log, url)],
            tasks=[self._task(task, task_id, url) for task_id, task in _with_ids(self._tasks(id, log))],
        )

    def _tasks(self, id: str, log: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
        """Return the tasks of the list that WES 1.1 has, else those in the run log.

        The run log may contain the first ones only. Servers that say nothing of the list are asked only if they say
        that they are of version 1.1, and the run log has no tasks.
        """
        inline = as_objects(log.get("task_logs"))
        if not as_text(log.get("task_logs_url")) and (inline or not self._info.read().has_task_list):
            return inline
        tasks: list[Mapping[str, object]] = []
        try:
            for task in self._client.tasks(id):
                tasks.append(task)
                if len(tasks) == _MAX_TASKS:
                    break
        except Failure as failure:
            if not failure.is_not_offered:
                raise
        return tasks or inline

    def _task(self, task: Mapping[str, object], id: str, url: str) -> ProviderTask:
        return ProviderTask(
            id=id,
            name=as_text(task.get("name")).strip() or id,
            cmd=as_texts(task.get("cmd")),
            started_at=as_time(task.get("start_time")),
            ended_at=as_time(task.get("end_time")),
            stdout=address(task.get("stdout"), url),
            stderr=address(task.get("stderr"), url),
            exit_code=exit_code(task),
            system_logs=[self._client.public(line) for line in _system_logs(task, url)],
        )


def outputs(value: object, url: str) -> Mapping[str, object]:
    """Return the outputs by name. Sapporo lists files with names and addresses, which become CWL's files."""
    if isinstance(value, Mapping):
        return value
    files = {as_text(file.get("file_name")): file for file in as_objects(value)}
    return {
        name: {"class": "File", "location": address(file.get("file_url"), url), "basename": name.rpartition("/")[2]}
        for name, file in files.items()
        if name
    }


def _with_ids(tasks: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield the tasks with an id each: the server's, or else the name and its number among tasks of the same name."""
    seen: Counter[str] = Counter()
    for task in tasks:
        id = as_text(task.get("id")).strip() or as_text(task.get("name")).strip() or "task"
        seen[id] += 1
        yield (id if seen[id] == 1 else f"{id}#{seen[id]}"), task


def _system_logs(log: Mapping[str, object], url: str) -> Iterator[str]:
    """Yield the server's own lines, and the ends of the logs whose texts it gives in place of addresses."""
    yield from as_texts(log.get("system_logs"))
    for stream in ("stdout", "stderr"):
        if text := text_in_place(log.get(stream), url).strip():
            yield f"{stream}: {shorten(text)}"
