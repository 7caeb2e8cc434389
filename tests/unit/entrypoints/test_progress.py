"""Watching runs until they have ended."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import a_run
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.queries import MemoryRunQueries
from wes_daemon.adapters.memory.store import MemoryStore
from wes_daemon.adapters.memory.wakeup import SkippingWakeUp
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.queries import RunRecord
from wes_daemon.domain.runs import RunId
from wes_daemon.domain.states import RunState
from wes_daemon.entrypoints.cli.console import TextConsole
from wes_daemon.entrypoints.cli.progress import LiveProgress, wait_for_runs

ONE = RunId("run-1")


class World:
    """What waiting for runs needs of the application."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.store.insert(a_run())
        self.changes: list[Callable[[], None]] = []
        self.wakeup = SkippingWakeUp(self.clock, on_wait=self._next_change)
        self.away = False

    def get_run(self, run_id: RunId) -> RunRecord:
        if self.away:
            raise StorageUnavailable("the database is away")
        return MemoryRunQueries(self.store).get(run_id)

    def then(self, *states: RunState) -> None:
        """Let the run come to these states, one per look."""
        self.changes += [lambda state=state: self.put(state) for state in states]  # type: ignore[misc]

    def put(self, state: RunState) -> None:
        """Let the run be in this state."""
        self.away = False
        self.store.insert(replace(self.store.run(ONE), state=state))

    def go_away(self) -> None:
        """Let the database be away until the next change."""
        self.away = True

    def _next_change(self, _: timedelta) -> None:
        if self.changes:
            self.changes.pop(0)()


@pytest.fixture
def world() -> Any:
    """One queued run."""
    return World()


def test_it_ends_when_the_run_has_ended_and_says_each_change_once(
    world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    world.then(RunState.QUEUED, RunState.RUNNING, RunState.RUNNING, RunState.COMPLETE)

    [record] = wait_for_runs(world, {ONE: "echo"})

    assert record.run.state is RunState.COMPLETE
    captured = capsys.readouterr()
    assert [line.split()[1:] for line in captured.err.splitlines()] == [
        ["echo", "QUEUED"],
        ["echo", "RUNNING"],
        ["echo", "COMPLETE"],
    ]
    assert captured.out == ""


def test_it_gives_up_at_the_timeout_but_not_before(world: Any) -> None:
    [record] = wait_for_runs(world, {ONE: "echo"}, timeout=timedelta(seconds=7))

    assert record.run.state is RunState.QUEUED
    assert sum(world.wakeup.waits, timedelta()) == timedelta(seconds=7)


def test_the_longer_it_takes_the_less_often_it_looks(world: Any) -> None:
    wait_for_runs(world, {ONE: "echo"}, timeout=timedelta(minutes=5))

    assert world.wakeup.waits[0] == timedelta(seconds=0.5)
    assert max(world.wakeup.waits) == timedelta(seconds=5)


def test_a_database_that_is_away_is_waited_for(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world.changes += [world.go_away, lambda: None]
    world.then(RunState.COMPLETE)

    [record] = wait_for_runs(world, {ONE: "echo"})

    assert record.run.state is RunState.COMPLETE
    assert capsys.readouterr().err.count("the database is away") == 1


def test_at_a_terminal_a_reason_of_several_lines_is_shown_as_lines() -> None:
    """D6"""
    run = a_run(state=RunState.EXECUTOR_ERROR, tags={"error": "first\nsecond\x1b[31m"})
    console = TextConsole()
    progress = LiveProgress(console, {ONE: "echo"}, ManualClock().now)

    with console.capture() as captured:
        progress.show([RunRecord(run=run)])
        console.print(progress._table())

    first, second = captured.get().splitlines()
    assert first.rstrip().endswith("first")
    assert second.strip() == r"second\x1b[31m"


def test_in_a_pipe_it_stays_one_line(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """D6"""
    world.store.insert(a_run(state=RunState.EXECUTOR_ERROR, tags={"error": "first\nsecond"}))

    wait_for_runs(world, {ONE: "echo"})

    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(r"EXECUTOR_ERROR: first\nsecond")
