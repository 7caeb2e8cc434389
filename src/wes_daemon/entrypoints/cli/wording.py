"""Moments, durations and states in the words of a person, as text that rich does not interpret."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from rich.text import Text

from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.escaping import one_line

_STYLES: Mapping[RunState, str] = {
    RunState.COMPLETE: "green",
    RunState.EXECUTOR_ERROR: "bold red",
    RunState.SYSTEM_ERROR: "bold red",
    RunState.PREEMPTED: "bold red",
    RunState.CANCELED: "yellow",
    RunState.CANCELING: "yellow",
    RunState.RUNNING: "cyan",
    RunState.INITIALIZING: "cyan",
}


def state(found: RunState) -> Text:
    """A state in its colour."""
    return Text(found.value, _STYLES.get(found, ""))


def state_of(record: RunRecord) -> Text:
    """A run's state, with a mark where a person has to decide what becomes of it."""
    found = state(record.run.state)
    return found.append(" (review)", "bold red") if record.submission is SubmissionState.REVIEW else found


def plain(text: object | None) -> Text:
    """Anything in one line, as it is; nothing for None."""
    return Text("" if text is None else one_line(str(text)))


def moment(at: datetime | None) -> str:
    """To the second, in UTC; empty for None."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(taken: timedelta) -> str:
    """The two largest units: `12s`, `3m05s`, `2h03m`, `4d01h`."""
    seconds = max(0, int(taken.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3_600, seconds // 86_400
    if days:
        return f"{days}d{hours % 24:02d}h"
    if hours:
        return f"{hours}h{minutes % 60:02d}m"
    return f"{minutes}m{seconds % 60:02d}s" if minutes else f"{seconds}s"


def run_time(record: RunRecord, now: datetime) -> str:
    """How long it took, or has taken so far; empty for what has not started."""
    run = record.run
    return duration((run.end_time or now) - run.start_time) if run.start_time else ""


def provider(record: RunRecord) -> str:
    """Who holds it, or is meant to; empty while that cannot be told."""
    return record.run.provider or record.destination or ""
