"""What a daemon logs while it waits for the tables of a service."""

import pytest

from wes_daemon.entrypoints.cli.daemon import MissingTablesLog


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message.partition(" ")[0] for message in caplog.messages]


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="wes_daemon")


def test_the_same_missing_tables_are_logged_once_and_then_that_they_have_appeared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = MissingTablesLog()

    for _ in range(3):
        log.awaited(ValueError("workflow_runs and task_logs do not exist yet"))
    log.found()

    assert events(caplog) == ["service_tables.awaited", "service_tables.found"]


def test_other_missing_tables_are_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    log = MissingTablesLog()

    log.awaited(ValueError("workflow_runs and task_logs do not exist yet"))
    log.awaited(ValueError("task_logs do not exist yet"))

    assert events(caplog) == ["service_tables.awaited", "service_tables.awaited"]


def test_tables_that_were_there_from_the_start_are_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    MissingTablesLog().found()

    assert events(caplog) == []
