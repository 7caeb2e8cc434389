"""The list of the runs in a work directory, and the deletion of drafts."""

from datetime import UTC, datetime
from pathlib import Path

from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.providers.local.provider import LocalProvider
from wes_daemon.adapters.providers.local.run_directory import as_json, write_new
from wes_daemon.application.ports.providers import OwnedPage, OwnedRun
from wes_daemon.domain.runs import ProviderRunId
from wes_daemon.domain.states import RunState

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def prepared(workdir: Path, name: str, key: str | None = None) -> Path:
    """Create the directory of a draft."""
    run = workdir / name
    run.mkdir(parents=True)
    write_new(run / "lock", b"")
    write_new(run / "request.json", as_json({"key": key or name}))
    return run


def list_all(workdir: Path) -> list[OwnedRun]:
    """Return the runs of all pages."""
    provider, found, after = LocalProvider(workdir, clock=ManualClock()), list[OwnedRun](), None
    while True:
        page = provider.owned_runs(LONG_AGO, after=after)
        found += page.runs
        if (after := page.following) is None:
            return found


def test_without_a_work_directory_the_list_is_empty(tmp_path: Path) -> None:
    assert LocalProvider(tmp_path / "runs", clock=ManualClock()).owned_runs(LONG_AGO) == OwnedPage()


def test_many_runs_are_listed_in_pages_and_each_once(tmp_path: Path) -> None:
    for number in range(1_001):
        prepared(tmp_path, f"wes-{number}")

    assert sorted(run.key for run in list_all(tmp_path)) == sorted(f"wes-{number}" for number in range(1_001))


def test_the_key_of_a_run_is_not_the_name_of_its_directory(tmp_path: Path) -> None:
    prepared(tmp_path, "wes-run~0123456789abcdef0123456789abcdef", key="wes-Run")

    [run] = list_all(tmp_path)

    assert (run.key, run.id) == ("wes-Run", "wes-run~0123456789abcdef0123456789abcdef")


def test_directories_that_are_no_runs_are_skipped(tmp_path: Path) -> None:
    prepared(tmp_path, ".preparing-0123", key="wes-1")
    prepared(tmp_path, "nightly-7")
    (tmp_path / "notes").mkdir()
    (tmp_path / "wes-file").write_text("not a directory")
    (prepared(tmp_path, "wes-broken") / "request.json").write_text("{")

    assert list_all(tmp_path) == []


def test_a_run_whose_runner_died_is_listed_and_not_finalised(tmp_path: Path) -> None:
    run = prepared(tmp_path, "wes-1")
    write_new(run / "started.json", as_json({"at": "2026-01-01T00:00:00+00:00"}))

    [found] = list_all(tmp_path)

    assert (found.state, found.is_draft) == (RunState.UNKNOWN, False)
    assert not (run / "result.json").exists()


def test_a_deleted_draft_leaves_no_files(tmp_path: Path) -> None:
    prepared(tmp_path, "wes-1")

    assert LocalProvider(tmp_path, clock=ManualClock()).delete_draft(ProviderRunId("wes-1"))

    assert list(tmp_path.iterdir()) == []
