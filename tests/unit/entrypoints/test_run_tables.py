"""What people see of runs."""

import io
import re
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console
from rich.segment import Segment

from tests.builders import NOON, a_request, a_run, some_details
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.application.ports.runs import TimelineEntry
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType, TaskId, TaskLog, Unreadable
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.console import duration, moment, run_time
from wes_daemon.entrypoints.cli.run_tables import run_report, runs_table

ID = "0b7c6f1e-3b0a-4c39-9f7e-1f2a3b4c5d6e"
LATER = NOON + timedelta(minutes=3, seconds=5)


def a_record(**changes: object) -> RunRecord:
    """A run that the local provider has run to its end."""
    run = a_run(
        ID,
        RunState.COMPLETE,
        request=a_request(workflow_url="https://example.org/a/long/way/to/the/workflow/main.cwl"),
        provider=ProviderType.LOCAL,
        provider_run_id=f"wes-{ID}",
        start_time=NOON,
        end_time=LATER,
        tags={"sample": "S1", "provider_type": "local", "provider_id": f"wes-{ID}"},
    )
    values: dict[str, object] = {"run": run, "queued_at": NOON, "destination": ProviderType.LOCAL}
    return RunRecord(**(values | changes))  # type: ignore[arg-type]


def seen(record: RunRecord, limit: int | None = None) -> str:
    """The report on one run as text."""
    console = Console(file=io.StringIO(), width=1000, markup=False)
    with console.capture() as captured:
        console.print(run_report(record, LATER, limit=limit))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def table(record: RunRecord, width: int) -> list[str]:
    """The list of one run on a terminal."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(runs_table([record], LATER, width))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 140, 180, 240])
def test_a_list_fits_the_terminal_and_no_id_is_cut(width: int) -> None:
    head, row = table(a_record(), width)

    assert len(row.rstrip()) <= width
    assert row.startswith(f"{ID}  COMPLETE")
    assert head.startswith("RUN")


def test_a_wide_terminal_shows_everything() -> None:
    head, row = table(a_record(), 300)

    assert head.split() == [
        "RUN",
        "STATE",
        "PROVIDER",
        "PROVIDER",
        "ID",
        "WORKFLOW",
        "QUEUED",
        "STARTED",
        "ENDED",
        "TOOK",
    ]
    assert "https://example.org/a/long/way/to/the/workflow/main.cwl" in row
    assert row.rstrip().endswith("3m05s")


def test_of_a_long_address_the_end_is_shown() -> None:
    _, row = table(a_record(), 100)

    assert re.search(r"…\S*/main\.cwl", row)


def test_people_see_no_secret_of_a_workflows_address() -> None:
    request = a_request(workflow_url="https://u:Geheim@host/a.cwl?sig=Geheim")
    record = a_record(run=a_run(ID, RunState.QUEUED, request=request))

    shown = seen(record) + "\n".join(table(record, 300))

    assert "Geheim" not in shown
    assert shown.count("https://***@host/a.cwl?sig=***") == 2


def test_a_report_has_what_wes_knows_and_what_the_daemon_knows() -> None:
    task = TaskLog(id=TaskId("t"), name="align", start_time=NOON, end_time=LATER, exit_code=3, stderr="file:///err")
    entry = TimelineEntry(at=NOON, before=RunState.RUNNING, after=RunState.COMPLETE, by="daemon-1", why="it ended")

    text = seen(a_record(details=some_details(), tasks=[task], timeline=[entry], provider_status="exited 0"))

    for expected in (
        ID,
        '"message": "hello"',
        '"sample": "S1"',
        f"local as wes-{ID}",
        "exited 0",
        '"answer": 42',
        "failed: exit 3",
        "file:///err",
        "it ended",
        "daemon-1",
        "3m05s",
    ):
        assert expected in text


def test_what_is_shown_elsewhere_is_not_repeated_among_the_tags() -> None:
    assert "provider_type" not in seen(a_record())


def test_a_waiting_run_says_why_it_waits() -> None:
    text = seen(a_record(run=a_run(), submission=SubmissionState.READY, attempts=2, last_reason="503 from the API"))

    assert re.search(r"^deferred +2 times$", text, re.MULTILINE)
    assert re.search(r"^waits because +503 from the API$", text, re.MULTILINE)


def test_a_run_whose_row_is_behind_says_why() -> None:
    text = seen(a_record(row_behind="another session keeps the row locked"))

    assert re.search(r"^row is behind +another session keeps the row locked$", text, re.MULTILINE)


def test_a_run_that_was_never_tried_says_why_it_waits_too() -> None:
    text = seen(a_record(run=a_run(), submission=SubmissionState.READY, last_reason="the token is wrong"))

    assert re.search(r"^waits because +the token is wrong$", text, re.MULTILINE)


def test_why_it_waited_does_not_matter_once_it_is_accepted() -> None:
    text = seen(a_record(submission=SubmissionState.ACCEPTED, attempts=2, last_reason="503 from the API"))

    assert "503" not in text


def test_a_run_was_queued_when_its_timeline_says_so() -> None:
    entry = TimelineEntry(at=NOON, before=None, after=RunState.QUEUED, by="me", why="queued")

    text = seen(a_record(queued_at=LATER, timeline=[entry]))

    assert re.search(r"^queued +2026-01-01 12:00:00Z$", text, re.MULTILINE)
    assert re.search(r"^queued +2026-01-01 12:03:05Z$", seen(a_record(queued_at=LATER)), re.MULTILINE)


def test_a_row_with_broken_json_is_shown_as_it_is() -> None:
    text = seen(a_record(run=a_run(tags=Unreadable("{oops"), request=a_request(workflow_params=[1]))))

    assert "not JSON: {oops" in text


def test_an_error_of_many_lines_stays_in_its_place() -> None:
    run = a_run(state=RunState.EXECUTOR_ERROR, tags={"error": "first\nstate  COMPLETE\x1b[31m"})

    lines = seen(a_record(run=run)).splitlines()

    [at] = [number for number, line in enumerate(lines) if line.startswith("error")]
    assert lines[at + 1] == f"{' ' * len('parameters')}  state  COMPLETE\\x1b[31m"


def many_outputs(count: int) -> RunRecord:
    return a_record(details=RunDetails(outputs={"files": [f"file:///out/{number}" for number in range(count)]}))


def test_of_a_long_value_the_first_lines_are_shown_and_the_rest_is_counted() -> None:
    """D5"""
    lines = seen(many_outputs(16_000), limit=100).splitlines()

    assert len([line for line in lines if "file:///out/" in line]) == 98
    assert lines[-1].strip() == "… 15,904 more lines: --all shows them"


def test_without_a_limit_everything_is_shown() -> None:
    """D5"""
    shown = seen(many_outputs(1_000))

    assert "file:///out/999" in shown
    assert "more lines" not in shown


def test_the_work_for_a_report_grows_with_the_number_of_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """D5: rich searches all of a text for the end of its first line, so no text may have several."""
    searched = Counter[int]()

    def counted(segments: Iterable[Segment], *arguments: Any, **options: Any) -> Any:
        found = list(segments)
        searched[count] += sum(len(segment.text) * max(segment.text.count("\n"), 1) for segment in found)
        return original(found, *arguments, **options)

    original = Segment.split_and_crop_lines
    monkeypatch.setattr(Segment, "split_and_crop_lines", counted)
    for count in (500, 1_000, 2_000):
        seen(many_outputs(count))

    assert searched[2_000] - searched[1_000] < 2.2 * (searched[1_000] - searched[500])


def test_of_many_tasks_those_that_have_not_succeeded_are_shown() -> None:
    """D5"""
    tasks = [TaskLog(id=TaskId(f"{n}"), name=f"task-{n:04}", exit_code=3 if n == 900 else 0) for n in range(1_000)]

    shown = seen(a_record(tasks=tasks), limit=10)

    assert "task-0008" in shown
    assert "task-0900" in shown
    assert "task-0009" not in shown
    assert "… 990 more tasks: --all shows them" in shown


def test_of_a_long_timeline_the_end_is_shown() -> None:
    """D5"""
    timeline = [
        TimelineEntry(at=NOON, before=RunState.QUEUED, after=RunState.QUEUED, by="daemon", why=f"attempt {number:03}")
        for number in range(300)
    ]

    shown = seen(a_record(timeline=timeline), limit=100)

    assert "attempt 299" in shown
    assert "attempt 199" not in shown
    assert "… 200 more entries before these: --all shows them" in shown


def test_markup_in_a_row_is_text() -> None:
    run = a_run(request=a_request(workflow_url="file:///[red]x[/red].cwl"))

    assert "[red]x[/red]" in seen(a_record(run=run))


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (timedelta(seconds=-3), "0s"),
        (timedelta(seconds=12.9), "12s"),
        (timedelta(seconds=185), "3m05s"),
        (timedelta(hours=2, minutes=3), "2h03m"),
        (timedelta(days=4, hours=1), "4d01h"),
    ],
)
def test_durations_have_two_units(taken: timedelta, words: str) -> None:
    assert duration(taken) == words


def test_moments_are_in_utc() -> None:
    assert moment(NOON) == "2026-01-01 12:00:00Z"
    assert moment(None) == ""


def test_what_has_not_started_has_taken_no_time() -> None:
    assert run_time(a_record(run=a_run()), LATER) == ""
    assert run_time(a_record(run=a_run(start_time=NOON)), LATER) == "3m05s"
