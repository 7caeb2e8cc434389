"""Rate limits, SDK behaviour, separate credentials and secrets of the Seven Bridges provider."""

import logging
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.call_gates import AskingGate
from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import APP, PROJECT, TOKEN, SevenBridgesHarness
from tests.memory.quotas import MemoryQuotas
from tests.simulators.sevenbridges import faults
from tests.simulators.sevenbridges.faults import Fault
from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.providers.sevenbridges.sdk import Sdk
from wes_daemon.adapters.resilience.call_gate import RateLimiter
from wes_daemon.adapters.resilience.retrying import RetryPolicy
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS
from wes_daemon.application.ports.errors import Misconfigured, NotNow, OutcomeUnknown, ProviderError
from wes_daemon.application.ports.providers import Prepared, Submission, WorkflowProvider
from wes_daemon.application.ports.quotas import SharedQuotas
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.domain.states import RunState
from wes_daemon.plugins.rates import Rate, read_window
from wes_daemon.testing import accept

__all__ = ["authority", "harness", "trusted"]

SECRET = "token-4f9d21-not-real"


def limiter(harness: SevenBridgesHarness, rate: Rate | None = None, quotas: SharedQuotas | None = None) -> RateLimiter:
    """A rate limiter on the platform's clock; waiting advances the clock."""
    return RateLimiter(
        {ALL_OPERATIONS: rate or Rate(calls=1000, per=timedelta(minutes=5), burst=50)},
        quotas=quotas or MemoryQuotas(harness.clock),
        account="sevenbridges",
        clock=harness.clock,
        sleep=harness.clock.advance,
    )


def stack(harness: SevenBridgesHarness) -> WorkflowProvider:
    """The provider with its decorators, as the core uses it."""
    gate = limiter(harness)
    return decorated(
        harness.provider(gate=gate, read_timeout=timedelta(seconds=10)),
        ProviderType.SEVENBRIDGES,
        telemetry=MemoryTelemetry(),
        clock=harness.clock,
        sleep=harness.clock.advance,
        retry_policy=RetryPolicy(),
    )


class TestStorm:
    def test_in_a_storm_all_runs_end_well_and_no_call_comes_before_its_time(self, harness: SevenBridgesHarness) -> None:
        rng, provider = random.Random(11), stack(harness)
        kinds = (faults.TOO_MANY, faults.ERROR, faults.ERROR_AFTER, faults.CUT_BEFORE, faults.CUT_AFTER, None)

        def blow(operation: str) -> Fault | None:
            del operation
            return rng.choices(kinds, weights=[30, 5, 5, 5, 5, 50])[0]

        harness.platform.faults.storm(blow)
        submissions = [harness.of() for _ in range(20)]
        began = harness.clock.now()
        ids = [_submit_until_accepted(harness, provider, submission) for submission in submissions]
        for id in ids:
            harness.platform.complete(id)
        ended = _completed(harness, provider, ids)

        assert ended == set(ids)
        assert len(harness.platform.started) == len(submissions)
        assert harness.platform.too_early == []
        assert harness.clock.now() - began > timedelta(minutes=1)


class TestRates:
    def test_after_a_429_no_call_is_made_before_the_time_it_names(self, harness: SevenBridgesHarness) -> None:
        gate = limiter(harness)
        provider = harness.provider(gate=gate)
        harness.platform.faults.add("list_tasks", faults.TOO_MANY)

        with pytest.raises(NotNow) as busy:
            provider.submit(harness.of())
        provider.statuses([ProviderRunId(harness.platform.new_id("task"))])

        assert busy.value.retry_after is not None
        assert timedelta(seconds=3) <= busy.value.retry_after <= timedelta(seconds=5)
        assert harness.platform.too_early == []

    @pytest.mark.parametrize("fault", [faults.UNAVAILABLE, faults.MAINTENANCE, faults.ERROR])
    def test_after_a_503_a_cancellation_is_sent_at_once(self, harness: SevenBridgesHarness, fault: Fault) -> None:
        """B4: the answer names the end of the window, as every answer does, and calls remain."""
        provider = harness.provider(gate=limiter(harness))
        id = accept(provider, harness.of())
        before = harness.clock.now()
        harness.platform.faults.add("list_tasks", fault)

        with pytest.raises(NotNow):
            provider.submit(harness.of())
        provider.cancel(id)

        assert harness.platform.tasks[id]["status"] == "ABORTING"
        assert harness.clock.now() - before < timedelta(seconds=10)

    def test_after_a_429_with_calls_left_the_wait_is_short(self, harness: SevenBridgesHarness) -> None:
        """B4."""
        provider = harness.provider(gate=limiter(harness))
        id = accept(provider, harness.of())
        before = harness.clock.now()
        harness.platform.faults.add("list_tasks", faults.refusing(429, 1000, "Too many requests"))

        with pytest.raises(NotNow):
            provider.submit(harness.of())
        provider.cancel(id)

        assert harness.clock.now() - before <= timedelta(seconds=11)

    def test_an_empty_window_is_waited_out_before_it_is_refused(self, harness: SevenBridgesHarness) -> None:
        harness.platform.rate_limit = 4
        gate = limiter(harness)
        provider = harness.provider(gate=gate)
        accept(provider, harness.of())

        with pytest.raises(NotNow, match=r"the quota for .* is exhausted"):
            provider.submit(harness.of())

        assert len(harness.platform.calls) == 4

    def test_daemons_that_share_a_quota_are_never_throttled_by_the_service(self, harness: SevenBridgesHarness) -> None:
        """They use most of it, although neither knows the other's calls."""
        harness.platform.rate_limit = 100
        quotas, rate = MemoryQuotas(harness.clock), read_window("100/300")
        gates = [limiter(harness, rate, quotas) for _ in range(2)]
        daemons = [harness.provider(gate=gate) for gate in gates]
        task = [ProviderRunId(harness.platform.new_id("task"))]

        over_at = harness.clock.now() + timedelta(minutes=10)
        while harness.clock.now() < over_at:
            for daemon in daemons:
                with suppress(NotNow):
                    daemon.statuses(task)

        assert harness.platform.quiet_until == {}
        assert 160 <= len(harness.platform.calls) <= 200

    def test_what_other_scripts_of_the_same_user_spend_is_not_spent_again(self, harness: SevenBridgesHarness) -> None:
        harness.platform.rate_limit = 100
        gate = limiter(harness, read_window("100/300"))
        provider = harness.provider(gate=gate)
        script = harness.provider()
        task = [ProviderRunId(harness.platform.new_id("task"))]

        over_at = harness.clock.now() + timedelta(minutes=10)
        while harness.clock.now() < over_at:
            with suppress(NotNow):
                provider.statuses(task)
            if max((window.used for window in harness.platform.windows.values()), default=0) < 95:
                script.statuses(task)
            harness.clock.advance(timedelta(seconds=1))

        assert harness.platform.quiet_until == {}

    def test_every_request_passes_the_call_gate_under_its_own_name(self, harness: SevenBridgesHarness) -> None:
        operations: list[str] = []

        accept(harness.provider(gate=AskingGate(operations.append)), harness.of())

        assert operations == ["ListTasks", "CreateTask", "ListTasks", "RunTask"]

    @pytest.mark.parametrize("step", ["ListTasks", "CreateTask"])
    def test_a_call_that_the_gate_refuses_before_anything_is_created_is_not_now(
        self, harness: SevenBridgesHarness, step: str
    ) -> None:
        with pytest.raises(NotNow):
            harness.provider(gate=AskingGate(Refusing(step))).submit(harness.of())


class TestTheSdk:
    def test_it_does_not_sleep_through_maintenance(self, harness: SevenBridgesHarness) -> None:
        harness.platform.faults.add("create_task", faults.MAINTENANCE)

        with pytest.raises(NotNow, match="Maintenance"):
            harness.provider().submit(harness.of())

        assert harness.operations() == ["list_tasks", "create_task"]

    def test_it_does_not_try_again_by_itself(self, harness: SevenBridgesHarness) -> None:
        harness.platform.faults.add("list_tasks", faults.CUT_BEFORE)

        with pytest.raises(NotNow):
            harness.provider().submit(harness.of())

        assert harness.operations() == ["list_tasks"]

    def test_it_names_the_package(self, harness: SevenBridgesHarness) -> None:
        harness.provider().submit(harness.of())

        agents = {call.headers["User-Agent"] for call in harness.platform.calls}
        assert all(agent.startswith("wes-daemon/") and "sevenbridges-python/" in agent for agent in agents)

    def test_it_gives_up_on_a_silent_service(self, harness: SevenBridgesHarness) -> None:
        harness.platform.faults.add("list_tasks", faults.SLOW)

        with pytest.raises(NotNow, match="timed out"):
            harness.provider(read_timeout=timedelta(seconds=0.2)).submit(harness.of())

    def test_one_client_serves_all_threads(self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[object] = []
        real = Sdk._make_api

        def make(sdk: Sdk) -> object:
            made.append(sdk)
            return real(sdk)

        monkeypatch.setattr(Sdk, "_make_api", make)
        provider = harness.provider()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: provider.submit(harness.of()), range(16)))

        assert len(made) == 1


class TestTwoCredentials:
    def test_two_tokens_under_threads_never_mix(self, harness: SevenBridgesHarness) -> None:
        owners = {f"lab/project-{number}": f"not-a-token-{number}" for number in range(2)}
        for project, token in owners.items():
            harness.platform.add_token(token, project)
        providers = [harness.provider(token=token, project=project) for project, token in owners.items()]
        together = threading.Barrier(8)

        def work(number: int) -> list[ProviderRunId]:
            together.wait()
            return [accept(providers[number % 2], harness.of(url=APP)) for _ in range(12)]

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))

        for call in harness.platform.calls:
            named = call.params.get("project")
            assert named is None or owners[named[0]] == call.token
        assert len(harness.platform.started) == 96
        assert {task["project"] for task in harness.platform.tasks.values()} == set(owners)


class TestSecrets:
    def test_the_token_is_in_no_log_no_error_and_no_repr(
        self, harness: SevenBridgesHarness, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        logging.getLogger("sevenbridges").setLevel(logging.DEBUG)
        harness.platform.add_token(SECRET, PROJECT)
        provider = harness.provider(token=SECRET)
        echo = Fault(
            reply=faults.Reply.CANNED, status=403, body=f'{{"message": "token {SECRET} is bad", "code": 90002}}'
        )
        every = [fault for fault in vars(faults).values() if isinstance(fault, Fault) and fault is not faults.SLOW]
        shown: list[str] = [repr(provider), str(vars(provider)), repr(replace(harness.config, token=SECRET))]

        for fault in [*every, echo]:
            harness.platform.faults.add("create_task", fault)
            try:
                accept(provider, harness.of({"sample": "a-secret-of-the-patient"}))
            except ProviderError as error:
                shown += [str(error), repr(error), str(error.__cause__), repr(error.__cause__)]

        assert len(shown) > 10
        assert SECRET not in "\n".join([*shown, caplog.text])
        assert "a-secret-of-the-patient" not in caplog.text

    @pytest.mark.parametrize("token", ["", "two words", f"{SECRET}\n", "schlüssel"])
    def test_a_malformed_token_is_refused_and_not_quoted(self, harness: SevenBridgesHarness, token: str) -> None:
        with pytest.raises(Misconfigured) as refusal:
            replace(harness.config, token=token)

        assert not token or token.strip() not in str(refusal.value)

    def test_a_redirect_is_not_followed_with_the_token(self, harness: SevenBridgesHarness) -> None:
        harness.platform.add_token(TOKEN, PROJECT)
        moved = Fault(reply=faults.Reply.CANNED, status=302, location="https://elsewhere.invalid/")
        harness.platform.faults.add("list_tasks", moved)

        with pytest.raises(Misconfigured, match="SEVENBRIDGES_API_ENDPOINT"):
            harness.provider().submit(harness.of())

        assert len(harness.platform.calls) == 1


class Refusing:
    """Permits every operation but one."""

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __call__(self, operation: str) -> None:
        if operation == self._operation:
            raise NotNow("the quota is used up")


def _submit_until_accepted(
    harness: SevenBridgesHarness, provider: WorkflowProvider, submission: Submission
) -> ProviderRunId:
    """Submit until the run is accepted, as the daemon does in its passes."""
    recorded: ProviderRunId | None = None
    while True:
        try:
            answer = provider.submit(replace(submission, prepared_id=recorded))
        except (NotNow, OutcomeUnknown) as error:
            asked = error.retry_after if isinstance(error, NotNow) else None
            harness.clock.advance(max(timedelta(seconds=5), asked or timedelta(0)))
            continue
        if not isinstance(answer, Prepared):
            return answer.id
        recorded = answer.id


def _completed(
    harness: SevenBridgesHarness, provider: WorkflowProvider, ids: list[ProviderRunId]
) -> set[ProviderRunId]:
    """Return the runs that are reported complete within many passes, and check that their details have outputs."""
    ended: set[ProviderRunId] = set()
    for _ in range(200):
        harness.clock.advance(timedelta(seconds=10))
        with suppress(NotNow):
            reports = provider.statuses([id for id in ids if id not in ended])
            for id in (id for id, report in reports.items() if report.state is RunState.COMPLETE):
                assert provider.details(id).outputs
                ended.add(id)
    return ended
