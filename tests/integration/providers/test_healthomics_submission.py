"""A run is started once, whichever answers are lost and however the service answers a repeated request."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.providers.healthomics_harness import (
    CONFIG,
    a_healthomics_submission,
    bare_provider,
    simulated,
    start_many,
    submit_past_slow_lists,
)
from tests.simulators.healthomics import faults
from tests.simulators.healthomics.faults import Fault
from tests.simulators.healthomics.server import HealthOmicsSimulator
from tests.simulators.healthomics.service import Repeats
from tests.simulators.healthomics.workflows import ACCOUNT, OTHER_ACCOUNT
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    ProviderError,
    Rejected,
    Throttled,
    Unprovable,
)
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import Attachment, ProviderRunId
from wes_daemon.domain.states import RunState

NOT_ALLOWED = (
    f"User: arn:aws:iam::{ACCOUNT}:user/wes is not authorized to perform: omics:StartRun on resource: "
    f"arn:aws:omics:us-east-1:{ACCOUNT}:run/*"
)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsSimulator]:
    with simulated(monkeypatch) as simulator:
        yield simulator


@pytest.fixture
def provider(simulator: HealthOmicsSimulator) -> HealthOmicsProvider:
    del simulator  # has to be there before the SDK is
    return bare_provider()


class TestLostAnswers:
    # A hanging answer comes after the test; a busy machine may miss the shortest wait that tells it from a slow one.
    HANG = 30
    IMPATIENT = replace(CONFIG, read_timeout=timedelta(seconds=0.3))
    POINTS = (
        faults.cut(after_acting=False),
        faults.cut(after_acting=True),
        faults.internal(after_acting=False),
        faults.internal(after_acting=True),
        faults.bad_gateway(after_acting=True),
        faults.unavailable(after_acting=True),
        faults.garbled(),
        faults.hang(HANG, after_acting=False),
        faults.hang(HANG, after_acting=True),
    )

    @pytest.mark.parametrize("number", [50, pytest.param(200, marks=pytest.mark.nightly)])
    @pytest.mark.parametrize("repeats", Repeats)
    def test_as_many_lost_answers_are_as_many_runs(
        self, simulator: HealthOmicsSimulator, repeats: Repeats, number: int
    ) -> None:
        simulator.service.repeats = repeats
        simulator.service.name_filter_is_exact = False
        provider = bare_provider(self.IMPATIENT)
        submissions = [a_healthomics_submission(f"wes-{position}") for position in range(number)]
        chance = random.Random(20_261_123)
        simulator.faults.put("StartRun", *chance.choices(self.POINTS, k=number))
        simulator.faults.weather = lambda _: self._weather(chance)

        with ThreadPoolExecutor(8) as threads:
            ids = list(threads.map(lambda submission: insist(provider, submission), submissions))

        assert {entry.request_id: f"{entry.id}/{entry.uuid}" for entry in simulator.service.started} == {
            submission.key: id for submission, id in zip(submissions, ids, strict=True)
        }
        assert len(simulator.service.started) == number

    def _weather(self, chance: random.Random) -> Fault | None:
        return chance.choice(self.POINTS[:6]) if chance.random() < 0.1 else None

    @pytest.mark.parametrize("fault", POINTS, ids=lambda fault: f"{fault.kind.name} {fault.after_acting}")
    def test_a_lost_answer_leaves_the_outcome_unknown(self, simulator: HealthOmicsSimulator, fault: Fault) -> None:
        provider = bare_provider(self.IMPATIENT)
        simulator.faults.put("StartRun", fault)

        with pytest.raises(OutcomeUnknown):
            submit_past_slow_lists(provider, simulator, a_healthomics_submission())

        assert simulator.operations["StartRun"] == 1

    def test_a_run_of_any_age_is_found_though_the_service_has_forgotten_the_request(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        first = provider.submit(a_healthomics_submission())
        simulator.service.repeats = Repeats.FORGOTTEN

        assert provider.submit(a_healthomics_submission()) == first

        assert simulator.operations["StartRun"] == 1

    @pytest.mark.parametrize("repeats", [Repeats.CONFLICT, Repeats.INVALID])
    def test_a_repeated_request_is_no_rejection_though_the_run_is_not_listed_yet(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, repeats: Repeats
    ) -> None:
        simulator.service.repeats = repeats
        simulator.service.lists_new_runs = False
        first = provider.submit(a_healthomics_submission())

        with pytest.raises(OutcomeUnknown, match="listed yet"):
            provider.submit(replace(a_healthomics_submission(), resumed=True))

        simulator.service.list_all()
        assert provider.submit(a_healthomics_submission()) == first

    @pytest.mark.parametrize("repeats", [Repeats.CONFLICT, Repeats.INVALID])
    def test_a_run_that_is_listed_only_by_then_is_found_after_the_refusal(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, repeats: Repeats
    ) -> None:
        simulator.service.repeats = repeats
        simulator.service.lists_new_runs = False
        first = provider.submit(a_healthomics_submission())

        def list_it(operation: str) -> None:
            if operation == "StartRun":
                simulator.service.list_all()

        simulator.faults.weather = list_it

        assert provider.submit(a_healthomics_submission()) == first

    def test_a_run_that_is_not_listed_yet_is_found_by_the_request_id(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        simulator.service.lists_new_runs = False

        assert provider.submit(a_healthomics_submission()) == provider.submit(a_healthomics_submission())

        assert len(simulator.service.started) == 1

    def test_a_conflict_that_is_no_repetition_is_left_open(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        simulator.faults.put("StartRun", faults.error(409, "ConflictException", "another operation is under way"))

        with pytest.raises(OutcomeUnknown):
            provider.submit(a_healthomics_submission())

        assert provider.submit(a_healthomics_submission()).id
        assert len(simulator.service.started) == 1

    @pytest.mark.parametrize("fault", [faults.throttled(), faults.internal(), faults.cut(after_acting=False)])
    def test_an_error_while_the_found_run_is_read_leaves_the_outcome_unknown(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, fault: Fault
    ) -> None:
        provider.submit(a_healthomics_submission())
        simulator.faults.put("GetRun", fault)

        with pytest.raises(OutcomeUnknown):
            provider.submit(a_healthomics_submission())

    def test_a_permission_that_is_lost_meanwhile_leaves_the_outcome_unknown(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        provider.submit(a_healthomics_submission())
        simulator.service.denied["GetRun"] = "not authorized to perform: omics:GetRun"

        with pytest.raises(OutcomeUnknown, match="listed under the name"):
            provider.submit(a_healthomics_submission())

    def test_a_run_that_was_started_under_other_settings_is_not_rejected(self, provider: HealthOmicsProvider) -> None:
        first = provider.submit(a_healthomics_submission())
        without_role = bare_provider(replace(CONFIG, role_arn=None))

        assert without_role.submit(a_healthomics_submission()) == first

        with pytest.raises(Rejected, match="AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN"):
            without_role.submit(a_healthomics_submission("wes-other"))

    def test_a_bad_request_is_rejected_even_with_wrong_credentials(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        simulator.access_keys = {"another"}

        with pytest.raises(Rejected, match="the forms are"):
            provider.submit(a_healthomics_submission(workflow_url="main.wdl"))


class TestFinding:
    def test_a_run_with_a_similar_name_is_not_adopted(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        simulator.service.name_filter_is_exact = False
        longer = provider.submit(a_healthomics_submission("wes-11"))

        assert provider.submit(a_healthomics_submission("wes-1")) != longer
        assert simulator.operations["GetRun"] == 0

    def test_a_foreign_run_with_the_same_name_is_not_adopted(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        foreign = provider.submit(a_healthomics_submission("wes-other")).id
        request = simulator.service.run(foreign.partition("/")[0]).request
        assert isinstance(request, dict)
        request["name"] = "wes-1"

        assert provider.submit(a_healthomics_submission("wes-1")).id != foreign

    def test_a_search_reads_all_pages(self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider) -> None:
        simulator.service.name_filter_is_exact = False
        first = provider.submit(a_healthomics_submission("wes-1"))
        start_many(simulator, 105, prefix="wes-1-")
        simulator.service.repeats = Repeats.FORGOTTEN

        assert provider.submit(a_healthomics_submission("wes-1")) == first

    @pytest.mark.parametrize("body", [b"", b'{"items": ', b"[]", b"<html>"])
    def test_a_broken_list_is_not_an_empty_one(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, body: bytes
    ) -> None:
        provider.submit(a_healthomics_submission())
        simulator.service.repeats = Repeats.FORGOTTEN
        simulator.faults.put("ListRuns", faults.answer_with(body))

        with pytest.raises(NotNow):
            provider.submit(a_healthomics_submission())

        assert len(simulator.service.started) == 1

    def test_a_search_that_is_refused_is_no_rejection_of_the_run(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        simulator.faults.put("ListRuns", faults.error(400, "ValidationException", "Invalid token"))

        with pytest.raises(NotNow, match="Invalid token"):
            provider.submit(a_healthomics_submission())

    def test_an_answer_without_a_uuid_is_completed(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        short = faults.answer_with({"id": "1000001", "status": "PENDING"}, status=201, after_acting=True)
        simulator.faults.put("StartRun", short)

        id = provider.submit(a_healthomics_submission()).id

        assert id == f"1000001/{simulator.service.started[0].uuid}"


class TestForgottenRequests:
    """How long the service remembers a request id is not documented."""

    HORIZON = timedelta(hours=12)

    def in_doubt_for(self, time: timedelta, **changes: object) -> Submission:
        return replace(a_healthomics_submission(), resumed=True, in_doubt_for=time, **changes)  # type: ignore[arg-type]

    def test_a_request_older_than_the_horizon_is_not_sent_again(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        with pytest.raises(
            Unprovable, match=r"no run wes-\S+ is listed, and its submission has been in doubt for more than 12:00:00"
        ):
            provider.submit(self.in_doubt_for(self.HORIZON + timedelta(seconds=1)))

        assert simulator.service.started == []

    def test_a_younger_request_is_sent_again(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        provider.submit(self.in_doubt_for(self.HORIZON))

        assert len(simulator.service.started) == 1

    def test_the_listed_run_of_an_older_request_is_found(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        first = provider.submit(a_healthomics_submission())

        assert provider.submit(self.in_doubt_for(timedelta(days=30))) == first

    def test_a_refusal_does_not_rule_out_a_run_of_an_earlier_attempt(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        wrong = {"request": a_healthomics_submission(workflow_url="nonsense").request}

        with pytest.raises(OutcomeUnknown, match="not listed yet"):
            provider.submit(self.in_doubt_for(timedelta(seconds=10), **wrong))
        with pytest.raises(Unprovable, match="none is listed"):
            provider.submit(self.in_doubt_for(timedelta(hours=1), **wrong))


class TestFirstSubmissions:
    HORIZON = timedelta(hours=12)

    def test_a_run_that_was_queued_lately_needs_one_call(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        provider.submit(replace(a_healthomics_submission(), queued_for=self.HORIZON))

        assert simulator.operations == {"StartRun": 1}

    @pytest.mark.parametrize(
        "changes",
        [
            {"queued_for": HORIZON + timedelta(seconds=1)},
            {"queued_for": None},
            {"queued_for": timedelta(0), "resumed": True},
        ],
        ids=["queued-before-the-horizon", "queued-at-an-unknown-time", "in-doubt"],
    )
    def test_a_run_that_may_have_been_sent_is_searched_for_first(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, changes: dict[str, Any]
    ) -> None:
        first = provider.submit(a_healthomics_submission())
        simulator.service.repeats = Repeats.FORGOTTEN

        assert provider.submit(replace(a_healthomics_submission(), **changes)) == first

        assert simulator.operations["StartRun"] == 1

    def test_the_horizon_of_the_settings_counts(self, simulator: HealthOmicsSimulator) -> None:
        provider = bare_provider(replace(CONFIG, resend_horizon=timedelta(hours=1)))

        provider.submit(replace(a_healthomics_submission(), queued_for=timedelta(hours=2)))

        assert simulator.operations == {"ListRuns": 1, "StartRun": 1}

    def test_a_new_run_with_an_invalid_request_needs_no_call(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        wrong = replace(a_healthomics_submission(workflow_url="nonsense"), queued_for=timedelta(0))

        with pytest.raises(Rejected):
            provider.submit(wrong)

        assert simulator.operations == {}

    @pytest.mark.parametrize("repeats", [Repeats.CONFLICT, Repeats.INVALID])
    def test_a_refused_repetition_of_a_call_that_the_database_has_lost_is_searched_for(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, repeats: Repeats
    ) -> None:
        first = provider.submit(a_healthomics_submission())
        simulator.service.repeats = repeats

        assert provider.submit(replace(a_healthomics_submission(), queued_for=timedelta(hours=3))) == first


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"workflow_url": "7654321"}, "7654321 was not found"),
            ({"workflow_url": "omics://workflow/1234567/version/v9"}, "v9 was not found"),
            ({"workflow_url": "2345678", "workflow_params": {"lanes": 1}}, "lanes is not in the workflow's template"),
            ({"workflow_url": "2345678", "workflow_params": {}}, "reads is missing"),
            ({"workflow_url": "https://example.org/a.wdl"}, "the forms are"),
            ({"workflow_params": {"a": "x" * 50_000}}, "50,000"),
            ({"workflow_engine_parameters": {"size": 1}}, "supports only"),
        ],
    )
    def test_a_bad_request_is_rejected_with_the_reason(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(Rejected, match=message):
            provider.submit(a_healthomics_submission(**changes))

        assert simulator.service.started == []

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (faults.throttled(), Throttled),
            (faults.quota(), Throttled),
            (faults.error(403, "AccessDeniedException", NOT_ALLOWED), Misconfigured),
            (faults.error(403, "AccessDeniedException", "not allowed"), AmbiguousRefusal),
            (faults.answer_with(b"<html>Forbidden</html>", status=403), AmbiguousRefusal),
            (faults.error(418, "SomethingNew"), AmbiguousRefusal),
            (faults.error(403, "ExpiredTokenException"), Misconfigured),
            (faults.error(408, "RequestTimeoutException"), OutcomeUnknown),
        ],
    )
    def test_other_refusals_raise_their_own_errors(
        self,
        simulator: HealthOmicsSimulator,
        provider: HealthOmicsProvider,
        fault: Fault,
        expected: type[ProviderError],
    ) -> None:
        simulator.faults.put("StartRun", fault)

        with pytest.raises(expected) as caught:
            provider.submit(a_healthomics_submission())

        assert type(caught.value) is expected

    @pytest.mark.parametrize(
        "message",
        ["Parameter Request ID is missing", "bucket results_size is unknown", "s3://results/reads.fq was not found"],
    )
    def test_a_value_of_the_run_in_a_message_is_neither_a_repeated_request_nor_the_set_up(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, message: str
    ) -> None:
        """B1: such a run was sent nine times and then needed review, or blocked the provider."""
        simulator.faults.put("StartRun", faults.error(400, "ValidationException", message))

        with pytest.raises(Rejected, match=message):
            provider.submit(a_healthomics_submission())

        assert simulator.operations["StartRun"] == 1

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("ValidationException", OutcomeUnknown),
            ("ResourceNotFoundException", OutcomeUnknown),
            ("ValidationError", OutcomeUnknown),
            ("AccessDeniedException", Misconfigured),
            ("AccessDenied", Misconfigured),
            ("SomethingNew", Misconfigured),
        ],
    )
    def test_no_refusal_ends_a_run_that_an_earlier_attempt_may_have_started(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, code: str, expected: type[ProviderError]
    ) -> None:
        """B1: not even later, when another run is accepted, as after an `AmbiguousRefusal`."""
        simulator.faults.put("StartRun", faults.error(400, code, "The requestId was used"))

        with pytest.raises(expected) as caught:
            provider.submit(replace(a_healthomics_submission(), resumed=True))

        assert type(caught.value) is expected

    @pytest.mark.parametrize("code", ["ResourceNotFoundException", "ValidationError", "ValidationException"])
    def test_a_search_that_is_refused_rejects_no_run(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider, code: str
    ) -> None:
        simulator.faults.put("ListRuns", faults.error(400, code))

        with pytest.raises(NotNow):
            provider.submit(a_healthomics_submission())

    def test_a_denied_role_that_the_run_names_rejects_this_run_only(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        own = f"arn:aws:iam::{ACCOUNT}:role/mine"
        simulator.service.denied["StartRun"] = (
            f"User: arn:aws:iam::{ACCOUNT}:user/wes is not authorized to perform: iam:PassRole on resource: {own}"
        )

        with pytest.raises(Rejected, match="role/mine"):
            provider.submit(a_healthomics_submission(workflow_engine_parameters={"roleArn": own}))

    @pytest.mark.parametrize(
        "url",
        [
            f"arn:aws:omics:us-east-1:{OTHER_ACCOUNT}:workflow/4567890",
            "arn:aws:omics:us-east-1::workflow/9500764",
            f"arn:aws:omics:us-east-1:{ACCOUNT}:workflow/1234567/version/v1",
        ],
    )
    def test_shared_and_ready2run_workflows_are_started(self, provider: HealthOmicsProvider, url: str) -> None:
        assert provider.submit(a_healthomics_submission(workflow_url=url)).id

    def test_attachments_are_not_sent_and_are_logged(
        self, provider: HealthOmicsProvider, caplog: pytest.LogCaptureFixture
    ) -> None:
        attachment = Attachment(name="main.wdl", content=b"version 1.0")

        provider.submit(replace(a_healthomics_submission(), attachments=(attachment,)))

        assert "healthomics.attachments_unused run_id=1 names=main.wdl" in caplog.text

    def test_a_run_that_failed_meanwhile_is_not_started_again(
        self, simulator: HealthOmicsSimulator, provider: HealthOmicsProvider
    ) -> None:
        first = provider.submit(a_healthomics_submission())
        simulator.service.end_at_once(first.id.partition("/")[0], "FAILED", failure="ASSUME_ROLE_FAILED")

        assert provider.submit(a_healthomics_submission()) == first

        assert provider.statuses([first.id])[first.id].state is RunState.SYSTEM_ERROR


def insist(provider: HealthOmicsProvider, submission: Submission) -> ProviderRunId:
    """Submit until it is accepted, as the daemon does."""
    for _ in range(1_000):
        try:
            return provider.submit(submission).id
        except (NotNow, OutcomeUnknown):
            continue
    raise AssertionError(f"{submission.key} was never accepted")
