"""Lost answers of WES servers, through the use cases: no run starts twice, none is lost, and a doubt needs review."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.builders import a_run, a_submission_policy
from tests.integration.providers.wes_harness import WesHarness, wes_harness
from tests.simulators.wes import faults
from tests.simulators.wes.faults import Fault
from tests.unit.application.conftest import DaemonUnderTest, World
from wes_daemon.adapters.memory.providers import MemoryProviderDirectory
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType, RunId, WorkflowRequest
from wes_daemon.domain.states import RunState

LOSSES: Sequence[Fault] = (
    faults.CUT_BEFORE,
    faults.CUT_AFTER,
    faults.MID_ANSWER,
    faults.ERROR_BEFORE,
    faults.ERROR_AFTER,
    faults.GATEWAY_TIMEOUT_AFTER,
    faults.BAD_GATEWAY_AFTER,
    faults.MALFORMED_AFTER,
    faults.LATE,
    faults.HANG_BEFORE,
    faults.HANG_AFTER,
)
_WEIGHTS = (8, 8, 8, 6, 6, 4, 4, 4, 6, 1, 1)
_LOST = 200
_RUNS = 260
_WITHOUT_KEYS: Mapping[str, Mapping[str, Any]] = {
    "tags in the list": {},
    "run by run": {"lists_tags": False, "list_times": False, "page_limit": None, "list_key": "workflows"},
}
_WITH_KEYS: Mapping[str, Mapping[str, Any]] = {
    "said by the server": {"keeps_key": True, "announces_key": True},
    "said by the settings": {"keeps_key": True},
}


class Storm:
    """Loses two hundred answers to submissions, and a few to searches."""

    def __init__(self, harness: WesHarness, seed: int) -> None:
        self._rng = random.Random(seed)
        self._harness = harness
        self.lost = 0
        harness.model.faults.storm(self._blow)

    def _blow(self, operation: str) -> Fault | None:
        if operation == "run_workflow" and self.lost < _LOST and self._rng.random() < 0.9:
            self.lost += 1
            return self._rng.choices(LOSSES, weights=_WEIGHTS)[0]
        is_searching = operation in ("list_runs", "run_log")
        return faults.CUT_BEFORE if is_searching and self.lost < _LOST and self._rng.random() < 0.02 else None

    def happens(self, probability: float) -> bool:
        """Whether something happens now."""
        return self._rng.random() < probability


def _world(harness: WesHarness) -> World:
    world = World(
        clock=harness.clock,
        submission_policy=a_submission_policy(concurrency_limit=_RUNS, batch=16, default_provider=ProviderType.WES),
    )
    request = WorkflowRequest(workflow_url="https://lab/x.cwl", workflow_type="CWL", workflow_type_version="v1.2")
    world.queue(*[a_run(f"run-{number}", request=request) for number in range(_RUNS)])
    return world


def _daemon(world: World, harness: WesHarness) -> DaemonUnderTest:
    """A daemon that knows nothing of the ones before it."""
    provider = decorated(
        harness.provider(read_timeout=timedelta(seconds=0.3)),
        ProviderType.WES,
        telemetry=world.telemetry,
        clock=harness.clock,
        sleep=harness.clock.advance,
    )
    world.directory = MemoryProviderDirectory({ProviderType.WES: provider})
    return world.daemon({ProviderType.WES})


def _submissions(world: World, state: SubmissionState) -> set[RunId]:
    return {run_id for run_id, row in world.store.tables.submissions.items() if row.state is state}


def _submit_all(world: World, harness: WesHarness, storm: Storm) -> None:
    """Pass after pass, with daemons that die, until every run is accepted or needs review."""
    daemon = _daemon(world, harness)
    for _ in range(400):
        accepted, review = (_submissions(world, state) for state in (SubmissionState.ACCEPTED, SubmissionState.REVIEW))
        if len(accepted) + len(review) == _RUNS:
            break
        if storm.happens(0.05):
            daemon = _daemon(world, harness)
        daemon.daemon_session.renew()
        daemon.submit()
        if storm.happens(0.3):
            harness.model.deliver_late()
        harness.clock.advance(timedelta(seconds=50))
    harness.model.deliver_late()


def _starts(harness: WesHarness) -> Counter[str]:
    return Counter(key for _, key in harness.model.started)


def _recorded(world: World, harness: WesHarness, run_ids: set[RunId]) -> bool:
    """Whether each accepted run has the id of the one run that the server has started for it."""
    ids = {key: id for id, key in harness.model.started}
    return all(world.run(run_id).provider_run_id == ids[f"wes-{run_id}"] for run_id in run_ids)


@pytest.mark.parametrize("switches", _WITHOUT_KEYS.values(), ids=_WITHOUT_KEYS)
def test_of_two_hundred_lost_answers_of_a_server_without_keys_none_starts_twice_and_the_rest_needs_review(
    switches: Mapping[str, Any],
) -> None:
    with wes_harness(**switches) as harness:
        world, storm = _world(harness), Storm(harness, seed=3)

        _submit_all(world, harness, storm)

        accepted, review = (_submissions(world, state) for state in (SubmissionState.ACCEPTED, SubmissionState.REVIEW))
        assert storm.lost == _LOST
        assert set(_starts(harness).values()) == {1}
        assert set(Counter(harness.model.posts).values()) == {1}
        assert len(accepted) + len(review) == _RUNS
        assert len(accepted) > _LOST / 2
        assert review
        assert _recorded(world, harness, accepted)
        assert not any(state.has_ended for state in world.states())


@pytest.mark.parametrize(
    ("switches", "honours_key"), list(zip(_WITH_KEYS.values(), (False, True), strict=True)), ids=_WITH_KEYS
)
def test_of_two_hundred_lost_answers_of_a_server_that_keeps_keys_each_run_starts_once(
    switches: Mapping[str, Any], honours_key: bool
) -> None:
    with wes_harness(config={"honours_key": honours_key}, **switches) as harness:
        world, storm = _world(harness), Storm(harness, seed=5)

        _submit_all(world, harness, storm)

        accepted = _submissions(world, SubmissionState.ACCEPTED)
        assert storm.lost == _LOST
        assert len(accepted) == _RUNS
        assert _starts(harness) == Counter(f"wes-run-{number}" for number in range(_RUNS))
        assert _recorded(world, harness, accepted)
        assert world.states() == {RunState.INITIALIZING}
