"""Status reports: single requests for few runs, the list for many, and the run log for each run that has ended."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from wes_daemon.adapters.json_values import as_object, as_text
from wes_daemon.adapters.providers.wes.client import WesClient, as_time, is_run_id, run_path
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.errors import Failure, provider_error
from wes_daemon.adapters.providers.wes.logs import FailureWords
from wes_daemon.application.ports.errors import NotNow, ProviderError
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.domain.runs import ProviderRunId, StatusReport
from wes_daemon.domain.states import RunState

_log = logging.getLogger(__name__)

STATUS_BATCH = 50

_LIST_FROM = 10
"""From this number of runs on, the list is read first: one page of it may replace as many requests."""

_MAX_CONSECUTIVE_FAILURES = 3
# The run's record was deleted. Source: Sapporo's extension of the states.
_DELETED = "DELETED"
_FAILED = frozenset({RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.PREEMPTED})


def state_of(answer: Mapping[str, object]) -> RunState:
    """Return the state in an answer; `INITIALIZING` for a run that waits at the server."""
    try:
        state = RunState(as_text(answer.get("state")).strip().upper())
    except ValueError:
        return RunState.UNKNOWN
    return RunState.INITIALIZING if state is RunState.QUEUED else state


@dataclass(slots=True)
class _Reading:
    """The reports that were read so far, and the errors since the last one that was read."""

    reports: dict[ProviderRunId, StatusReport] = field(default_factory=dict)
    errors: list[ProviderError] = field(default_factory=list)
    failed: int = 0
    is_stopped: bool = False


class StatusReader:
    """Reads status reports. Safe to use from several threads."""

    def __init__(self, client: WesClient, config: WesConfig) -> None:
        self._client = client
        self._config = config
        self._words = FailureWords(client, config)

    def read(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """Return one report per run that the server knows; one that cannot be read is `UNKNOWN`.

        Raises:
            ProviderError: no run could be read.
        """
        wanted = [id for id in dict.fromkeys(ids) if is_run_id(id)]
        listed = self._listed(wanted) if len(wanted) >= _LIST_FROM else {}
        reading = _Reading()
        for id in wanted:
            self._add(reading, id, listed.get(id))
        if reading.errors and reading.failed == len(wanted):
            raise reading.errors[0]
        return reading.reports

    def _add(self, reading: _Reading, id: ProviderRunId, listed: Mapping[str, object] | None) -> None:
        if reading.is_stopped:
            reading.failed += 1
            reading.reports[id] = _unreadable(reading.errors[-1])
            return
        try:
            if report := self._report(id, listed):
                reading.reports[id] = report
            reading.errors.clear()
        except (Failure, NotNow) as error:
            reason = provider_error(error) if isinstance(error, Failure) else error
            reading.failed += 1
            reading.errors.append(reason)
            reading.reports[id] = _unreadable(reason)
            is_answered = isinstance(error, Failure) and error.is_answered and error.status not in (401, 429, 503)
            reading.is_stopped = not is_answered or len(reading.errors) >= _MAX_CONSECUTIVE_FAILURES

    def _listed(self, ids: Collection[ProviderRunId]) -> Mapping[str, Mapping[str, object]]:
        """Return the wanted runs that the first pages of the list have; one page for each ten runs at most."""
        wanted = set(ids)
        found: dict[str, Mapping[str, object]] = {}
        token: str | None = None
        try:
            for _ in range(len(ids) // _LIST_FROM):
                page = self._client.page_of_runs(token)
                found |= {id: run for run in page.runs if (id := as_text(run.get("run_id"))) in wanted}
                if page.following in (None, token) or len(found) == len(wanted):
                    break
                token = page.following
        except Failure as failure:
            # A server may refuse its list to this user.
            if not failure.is_answered:
                raise provider_error(failure) from failure
        return found

    def _report(self, id: ProviderRunId, listed: Mapping[str, object] | None) -> StatusReport | None:
        """Return the report; None if the server does not know the run."""
        try:
            answer = self._client.run_status(id) if listed is None or _is_unclear(listed) else listed
            return self._confirmed(id, answer) if state_of(answer).has_ended else _active_report(answer)
        except Failure as failure:
            if failure.is_unknown_run:
                return None
            raise

    def _confirmed(self, id: ProviderRunId, answer: Mapping[str, object]) -> StatusReport | None:
        """Return the report of a run that seems to have ended, by its run log, which has the times as well.

        After a restart, wes-service once says `EXECUTOR_ERROR` about a run that goes on. So an end is reported only if
        two answers agree on it.
        """
        log = self._client.run_log(id)
        state = state_of(log)
        if not state.has_ended:
            event = "wes.end_withdrawn"
            log_event(_log, logging.WARNING, event, id=id, first=as_text(answer.get("state")), then=log.get("state"))
            return _active_report(log)
        run_log = as_object(log.get("run_log"))
        url = f"{self._config.base_url}{run_path(id)}"
        return StatusReport(
            state=state,
            provider_status=as_text(log.get("state")),
            started_at=as_time(run_log.get("start_time")),
            ended_at=as_time(run_log.get("end_time")),
            message=self._words.explain(log, url) if state in _FAILED else "",
        )


def _active_report(answer: Mapping[str, object]) -> StatusReport | None:
    status = as_text(answer.get("state")).strip()
    if status == _DELETED:
        return None
    return StatusReport(state=state_of(answer), provider_status=status or "none")


def _is_unclear(listed: Mapping[str, object]) -> bool:
    """Whether the list does not tell the run's state: a list may be older than the run's own record."""
    return state_of(listed) is RunState.UNKNOWN


def _unreadable(reason: ProviderError) -> StatusReport:
    return StatusReport(state=RunState.UNKNOWN, provider_status="unreadable", message=str(reason))
