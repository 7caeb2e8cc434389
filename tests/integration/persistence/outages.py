"""A daemon as the container builds it, with a provider in memory, over a database that a test may take away."""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from dependency_injector import providers
from sqlalchemy import Engine

from tests.builders import ALL_PROVIDERS, a_report, a_request, some_details
from wes_daemon import read_settings
from wes_daemon.adapters.memory.providers import MemoryProvider, MemoryProviderDirectory
from wes_daemon.application.ports.errors import StorageUnavailable
from wes_daemon.application.ports.providers import Accepted, Prepared, Submission
from wes_daemon.application.ports.queries import RunFilter
from wes_daemon.bootstrap.application import application_of
from wes_daemon.bootstrap.container import Container
from wes_daemon.domain.states import RunState

BOUND = 60.0


class PromptProvider(MemoryProvider):
    """Ends each run as soon as it has it, and lets a test act in the middle of a submission."""

    def __init__(self) -> None:
        # As many as a page of the refresh has: nothing parts the calls here.
        super().__init__(status_batch=1_000)
        self.during_submission: Callable[[int], None] = lambda _: None
        self._submissions = 0
        self._counting = threading.Lock()

    def submit(self, submission: Submission) -> Accepted | Prepared:
        """As the memory provider."""
        answer = super().submit(submission)
        self.put(answer.id, a_report(RunState.COMPLETE), some_details())
        with self._counting:
            self._submissions += 1
            number = self._submissions
        self.during_submission(number)
        return answer


class Site:
    """One daemon; any number of them may share a database and a provider."""

    def __init__(self, engine: Engine, provider: PromptProvider, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        self._log = caplog
        self.engine = engine
        self.provider = provider
        settings = read_settings(
            database_uri=engine.url.render_as_string(hide_password=False),
            poll_interval=0.1,
            status_check_interval=0.1,
            max_concurrent_workflows=1000,
            default_provider="local",
            # What was taken to be asked for when the database went is asked for after one and a half times this.
            lease_seconds=4,
            workers=4,
        )
        container = Container(settings=settings)
        container.engine.override(providers.Object(engine))
        directory = MemoryProviderDirectory(dict.fromkeys(ALL_PROVIDERS, provider))
        container.directory.override(providers.Object(directory))
        self.application = application_of(container)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.everything_ended = False

    def prepare(self) -> None:
        """Make the tables."""
        self.application.schema.upgrade()

    def queue(self, number: int) -> None:
        """Queue so many runs."""
        for _ in range(number):
            self.application.create_run(a_request())

    def start(self) -> None:
        """Let the daemon work."""
        self._thread.start()

    def stop(self) -> None:
        """Let it end."""
        if self._thread.is_alive():
            self.application.daemon().stop()
            self._thread.join(BOUND)

    def complete(self) -> int:
        """How many runs have ended well, as far as the database says."""
        with suppress(StorageUnavailable):
            return len(self.application.list_runs(RunFilter(states=[RunState.COMPLETE], limit=10_000)))
        return 0

    def said(self, event: str) -> int:
        """How often the log has this event."""
        return sum(message.split()[0] == event for message in self._log.messages)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds, for a while."""
        for _ in range(int(BOUND / 0.05)):
            if holds():
                return
            threading.Event().wait(0.05)
        raise AssertionError("\n".join(self._log.messages[-50:]))

    def assert_came_through(self, runs: int, *, outages: int | None = 1) -> None:
        """Every run was started once and is recorded to its end; what happened was said once and is no bug.

        Args:
            outages: how often the database was away; None where it cannot be told how many were noticed apart.
        """
        self.until(lambda: self.complete() == runs)
        self.until(lambda: self.said("database.back") == self.said("database.unavailable"))
        self.stop()
        assert len(self.provider.started) == len(set(self.provider.started)) == runs
        assert self.said("submit.accepted") == runs
        assert self.said("database.unavailable") == (self.said("database.back") if outages is None else outages)
        assert self._histories() == {("QUEUED", "INITIALIZING", "COMPLETE")}
        # SQLAlchemy logs a cursor that it cannot close, such as that of the list which this test reads.
        ours = [record for record in self._log.records if record.name.startswith("wes_daemon")]
        assert not [record for record in ours if record.exc_info]
        assert self.said("bug") == self.said("daemon.pass_failed") == 0
        assert self.everything_ended

    def _histories(self) -> set[tuple[str, ...]]:
        ids = [record.run.id for record in self.application.list_runs(RunFilter(limit=10_000))]
        return {tuple(entry.after for entry in self.application.get_run(id).timeline) for id in ids}

    def _run(self) -> None:
        self.everything_ended = self.application.daemon().run()
