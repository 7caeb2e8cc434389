"""Rate limits, network errors, credentials and secrets."""

import logging
import random
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.call_gates import AskingGate
from tests.integration.providers.healthomics_harness import (
    CONFIG,
    a_healthomics_submission,
    bare_provider,
    run_id,
    simulated,
    submit_past_slow_lists,
)
from tests.memory.quotas import MemoryQuotas
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.faults import Fault
from tests.simulators.healthomics.server import HealthOmicsSimulator
from wes_daemon.adapters.memory.environment import ManualClock
from wes_daemon.adapters.memory.telemetry import MemoryTelemetry
from wes_daemon.adapters.providers.healthomics.config import CALLS_PER_SECOND
from wes_daemon.adapters.providers.healthomics.connection import Connection
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.resilience.call_gate import RateLimiter
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.application.ports.errors import Misconfigured, NotNow, OutcomeUnknown, ProviderError, Unavailable
from wes_daemon.application.ports.providers import Submission, WorkflowProvider
from wes_daemon.application.ports.quotas import SharedQuotas
from wes_daemon.domain.runs import ProviderRunId, ProviderType
from wes_daemon.domain.states import RunState
from wes_daemon.plugins.rates import Rate

SECRET = "not-a-real-password"
FROM_THE_CHAIN = replace(CONFIG, access_key_id=None, secret_access_key=None)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch, clock.now) as simulator:
        yield simulator


def limited_provider(clock: ManualClock, quotas: SharedQuotas | None = None) -> WorkflowProvider:
    """The provider as the container builds it; sleeping advances the clock."""
    rates = {operation: Rate(calls=calls) for operation, calls in CALLS_PER_SECOND.items()}
    limiter = RateLimiter(
        rates, quotas=quotas or MemoryQuotas(clock), account="healthomics", clock=clock, sleep=clock.advance
    )
    bare = HealthOmicsProvider(CONFIG, clock=clock, gate=limiter)
    telemetry = MemoryTelemetry()
    return decorated(bare, ProviderType.HEALTHOMICS, telemetry=telemetry, clock=clock, sleep=clock.advance)


class TestStorm:
    RUNS = 25

    def test_all_runs_complete_and_no_call_is_sent_before_the_time_in_retry_after(
        self, simulator: HealthOmicsSimulator, clock: ManualClock
    ) -> None:
        chance = random.Random(7)
        over_at = clock.now() + timedelta(minutes=1)
        simulator.faults.weather = lambda _: self._storm(chance) if clock.now() < over_at else None
        simulator.service.pace = timedelta(seconds=10)
        provider = limited_provider(clock)
        waiting = [a_healthomics_submission(f"wes-{number}") for number in range(self.RUNS)]
        states: dict[ProviderRunId, RunState] = {}

        for _ in range(2_000):
            if not waiting and all(state.has_ended for state in states.values()):
                break
            waiting = [submission for submission in waiting if not self._submitted(provider, submission, states)]
            self._follow(provider, states)
            clock.advance(timedelta(seconds=1))

        assert list(states.values()) == [RunState.COMPLETE] * self.RUNS
        assert sorted(f"{entry.id}/{entry.uuid}" for entry in simulator.service.started) == sorted(states)
        assert simulator.early == []
        assert any(call.at < over_at for call in simulator.calls)

    def _storm(self, chance: random.Random) -> Fault | None:
        weather = (
            (0.15, faults.throttled(timedelta(seconds=chance.randint(1, 20)))),
            (0.15, faults.throttled()),
            (0.05, faults.internal(after_acting=chance.random() < 0.5)),
            (0.05, faults.bad_gateway(after_acting=chance.random() < 0.5)),
            (0.1, faults.cut(after_acting=chance.random() < 0.5)),
        )
        shares = [share for share, _ in weather]
        return chance.choices([fault for _, fault in weather] + [None], [*shares, 1 - sum(shares)])[0]

    def _submitted(
        self, provider: WorkflowProvider, submission: Submission, states: dict[ProviderRunId, RunState]
    ) -> bool:
        try:
            states[provider.submit(submission).id] = RunState.INITIALIZING
        except (NotNow, OutcomeUnknown):
            return False
        return True

    def _follow(self, provider: WorkflowProvider, states: dict[ProviderRunId, RunState]) -> None:
        try:
            reports = provider.statuses([id for id, state in states.items() if not state.has_ended])
        except NotNow:
            return
        states.update({id: report.state for id, report in reports.items()})

    def test_in_a_storm_two_daemons_slow_down_together(
        self, simulator: HealthOmicsSimulator, clock: ManualClock
    ) -> None:
        """When one of them is throttled the other one slows down too, and both return to the full rate."""
        quotas = MemoryQuotas(clock)
        daemons = [limited_provider(clock, quotas) for _ in range(2)]
        ids = [daemons[0].submit(a_healthomics_submission(f"wes-{number}")).id for number in range(2)]
        over_at = clock.now() + timedelta(seconds=20)
        simulator.faults.weather = lambda _: faults.throttled() if clock.now() < over_at else None

        while clock.now() < over_at:
            for daemon in daemons:
                with suppress(NotNow):
                    daemon.statuses(ids)
        stormy = [call for call in simulator.calls if call.operation == "GetRun"]
        clock.advance(timedelta(seconds=30))
        assert all(daemon.statuses(ids) for daemon in daemons)

        assert len(stormy) <= 20 * CALLS_PER_SECOND["GetRun"] / 3

    def test_the_time_that_a_service_names_holds_for_everybody(
        self, simulator: HealthOmicsSimulator, clock: ManualClock
    ) -> None:
        provider = limited_provider(clock)
        simulator.faults.put("StartRun", faults.throttled(timedelta(minutes=5)))

        for key in ("wes-1", "wes-2"):
            with pytest.raises(NotNow) as caught:
                provider.submit(a_healthomics_submission(key))
            assert caught.value.retry_after is not None
            assert caught.value.retry_after > timedelta(minutes=4)

        assert simulator.operations["StartRun"] == 1
        clock.advance(timedelta(minutes=5))
        assert provider.submit(a_healthomics_submission("wes-2"))


class TestNetwork:
    def test_a_connection_that_is_refused_means_that_nothing_happened(
        self, simulator: HealthOmicsSimulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert simulator.url
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

        with pytest.raises(NotNow, match="did not reach"):
            bare_provider().submit(a_healthomics_submission())

    def test_the_sdk_does_not_retry(self, simulator: HealthOmicsSimulator) -> None:
        simulator.faults.put("ListRuns", faults.internal(), faults.internal())

        with pytest.raises(NotNow):
            bare_provider().submit(a_healthomics_submission())

        assert simulator.operations == {"ListRuns": 1}

    def test_each_service_may_have_an_endpoint_of_its_own(
        self, simulator: HealthOmicsSimulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        monkeypatch.setenv("AWS_ENDPOINT_URL_OMICS", simulator.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", simulator.url)
        provider = bare_provider()
        id = provider.submit(a_healthomics_submission()).id
        simulator.service.reach(run_id(id), "COMPLETED")

        assert provider.details(id).outputs

    def test_the_services_own_address_keeps_its_prefix(
        self, simulator: HealthOmicsSimulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert simulator.url
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        omics = Connection(CONFIG).omics()
        omics.meta.events.register("before-send.omics.*", _raise_address)

        with pytest.raises(_Address, match=r"^https://workflows-omics\.us-east-1\.amazonaws\.com/run/1$"):
            omics.get_run(id="1")

    @pytest.mark.parametrize(
        "address",
        ["127.0.0.1:9000 or so", f"me:{SECRET}@127.0.0.1:9", f"http://me:{SECRET}@127.0.0.1:9x", "http://[::1"],
    )
    def test_an_invalid_address_is_reported_with_its_variable_and_not_shown(
        self, simulator: HealthOmicsSimulator, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        assert simulator.url
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)

        with pytest.raises(Misconfigured, match="AWS_ENDPOINT_URL") as caught:
            bare_provider().submit(a_healthomics_submission())

        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_a_password_in_the_address_is_not_shown(
        self, simulator: HealthOmicsSimulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert simulator.url
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{SECRET}@127.0.0.1:9")

        with pytest.raises(Unavailable, match=r"http://\*\*\*@127\.0\.0\.1:9/run") as caught:
            bare_provider().submit(a_healthomics_submission())

        assert SECRET not in "".join(traceback.format_exception(caught.value))

    def test_every_request_names_the_package(self, simulator: HealthOmicsSimulator) -> None:
        bare_provider().submit(a_healthomics_submission())

        assert all("wes-daemon/" in call.headers["User-Agent"] for call in simulator.calls)

    def test_every_request_passes_the_call_gate(self, simulator: HealthOmicsSimulator, clock: ManualClock) -> None:
        acquired: list[str] = []
        provider = HealthOmicsProvider(CONFIG, clock=clock, gate=AskingGate(acquired.append))
        id = provider.submit(a_healthomics_submission()).id
        simulator.service.reach(run_id(id), "FAILED")
        provider.statuses([id])
        provider.cancel(id)
        provider.details(id)

        assert acquired == [call.operation for call in simulator.calls]

    def test_an_answer_is_awaited_no_longer_than_the_read_timeout(self, simulator: HealthOmicsSimulator) -> None:
        simulator.faults.put("StartRun", faults.hang(30, after_acting=True))
        hasty = bare_provider(replace(CONFIG, read_timeout=timedelta(seconds=0.3)))

        with pytest.raises(OutcomeUnknown, match="Read timeout"):
            submit_past_slow_lists(hasty, simulator, a_healthomics_submission())

    def test_a_slow_answer_within_the_read_timeout_is_accepted(self, simulator: HealthOmicsSimulator) -> None:
        simulator.faults.put("StartRun", faults.slow(0.2))

        assert bare_provider().submit(a_healthomics_submission())


class TestCredentials:
    @pytest.mark.parametrize(
        "error", ["UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException"]
    )
    def test_wrong_credentials_are_misconfigured(self, simulator: HealthOmicsSimulator, error: str) -> None:
        simulator.access_keys, simulator.credential_error = {"another"}, error

        with pytest.raises(Misconfigured, match=error):
            bare_provider().submit(a_healthomics_submission())

    def test_missing_credentials_are_misconfigured(self, simulator: HealthOmicsSimulator) -> None:
        with pytest.raises(Misconfigured, match="AWS_ACCESS_KEY_ID"):
            bare_provider(FROM_THE_CHAIN).submit(a_healthomics_submission())

        assert simulator.calls == []

    def test_half_a_pair_of_keys_is_misconfigured(self, simulator: HealthOmicsSimulator) -> None:
        assert simulator.url

        with pytest.raises(Misconfigured, match="AWS_SECRET_ACCESS_KEY"):
            bare_provider(replace(CONFIG, secret_access_key=None)).submit(a_healthomics_submission())

    @pytest.mark.parametrize("before", ["", "[default]\naws_access_key_id=old\naws_secret_access_key=testing\n"])
    def test_corrected_credentials_are_used_without_a_restart(
        self, simulator: HealthOmicsSimulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str
    ) -> None:
        simulator.access_keys = {"new"}
        file = tmp_path / "credentials"
        file.write_text(before)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        provider = bare_provider(FROM_THE_CHAIN)
        with pytest.raises(Misconfigured):
            provider.submit(a_healthomics_submission())

        file.write_text("[default]\naws_access_key_id=new\naws_secret_access_key=testing\n")

        assert provider.submit(a_healthomics_submission())

    @pytest.mark.parametrize("operation", ["StartRun", "ListRuns"])
    def test_credentials_are_read_again_after_a_denial(
        self, simulator: HealthOmicsSimulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operation: str
    ) -> None:
        file = tmp_path / "credentials"
        file.write_text("[default]\naws_access_key_id=old\naws_secret_access_key=testing\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        provider = bare_provider(FROM_THE_CHAIN)
        simulator.service.denied[operation] = "not authorized"
        with pytest.raises(Misconfigured):
            provider.submit(a_healthomics_submission())

        simulator.service.denied.clear()
        simulator.access_keys = {"new"}
        file.write_text("[default]\naws_access_key_id=new\naws_secret_access_key=testing\n")

        assert provider.submit(a_healthomics_submission())


class TestSecrets:
    SECRETS = ("testing-key-in-secret", "testing-secret-in-secret", "testing-token-in-secret")

    def test_no_secret_is_in_any_log_or_error(
        self, simulator: HealthOmicsSimulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        key, secret, token = self.SECRETS
        config = replace(CONFIG, access_key_id=key, secret_access_key=secret, session_token=token)
        provider = HealthOmicsProvider(config, clock=ManualClock())
        caplog.set_level(logging.DEBUG)
        id = provider.submit(a_healthomics_submission()).id
        simulator.service.reach(run_id(id), "COMPLETED")
        provider.statuses([id])
        provider.details(id)
        texts = [repr(provider), repr(config), *self._errors(simulator, provider)]

        assert any(call.headers.get("X-Amz-Security-Token") == token for call in simulator.calls)
        assert caplog.text
        for hidden in (key, secret, token):
            assert hidden not in caplog.text
            assert not [text for text in texts if hidden in text]

    def _errors(self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider) -> Iterator[str]:
        repeats_headers = f"The Canonical String should have been x-amz-security-token:{self.SECRETS[2]}"
        for fault in (
            faults.error(403, "InvalidSignatureException", repeats_headers),
            faults.error(403, "ExpiredTokenException", repeats_headers),
            faults.cut(after_acting=False),
            faults.bad_gateway(),
            faults.garbled(),
        ):
            simulator.faults.put("ListRuns", fault)
            with pytest.raises(ProviderError) as caught:
                provider.submit(a_healthomics_submission("wes-other"))
            yield "".join(traceback.format_exception(caught.value))


class _Address(Exception):
    """The address of a request that was not sent."""


def _raise_address(request: object, **_: object) -> None:
    raise _Address(getattr(request, "url", ""))
