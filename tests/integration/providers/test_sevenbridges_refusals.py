"""Refusals of Seven Bridges, and the port's error for each."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import (
    APP,
    BATCHING_APP,
    PROJECT,
    SevenBridgesHarness,
)
from tests.simulators.sevenbridges import faults
from tests.simulators.sevenbridges.faults import Fault, refusing
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    ProviderError,
    Rejected,
)
from wes_daemon.testing import accept

__all__ = ["authority", "harness", "trusted"]


class TestValidation:
    def test_a_draft_with_errors_is_refused_in_the_services_words_and_deleted(
        self, harness: SevenBridgesHarness
    ) -> None:
        submission = harness.of({"sample": 7, "lanes": "many"})

        with pytest.raises(Rejected, match=r"sample: Value of the input sample.*; lanes: Value"):
            harness.provider().submit(submission)

        assert harness.tasks(submission.key) == []

    @pytest.mark.parametrize("answers_draft", [True, False])
    def test_errors_that_appear_at_the_start_are_refused_as_well(
        self, harness: SevenBridgesHarness, answers_draft: bool
    ) -> None:
        harness.platform.invalid_run_answers_draft = answers_draft
        provider, submission = harness.provider(), harness.of()
        prepared = provider.submit(submission)
        harness.platform.tasks[prepared.id]["errors"] = [{"message": "File is gone", "input_id": "reads"}]

        with pytest.raises(Rejected, match="reads: File is gone"):
            provider.submit(replace(submission, prepared_id=prepared.id))

        assert harness.tasks(submission.key) == []
        assert harness.platform.started == []

    def test_a_refusal_names_app_project_and_port_and_quotes_an_error_without_a_message(
        self, harness: SevenBridgesHarness
    ) -> None:
        """B7."""
        provider, submission = harness.provider(), harness.of()
        prepared = provider.submit(submission)
        harness.platform.tasks[prepared.id]["errors"] = [{"type": "schema", "input_id": "reads", "got": "int"}]
        expected = f"of {APP}/2 in {PROJECT}: reads: {{'type': 'schema', 'input_id': 'reads', 'got': 'int'}}"

        with pytest.raises(Rejected, match=re.escape(expected.replace("'", '"'))):
            harness.provider().submit(replace(submission, prepared_id=prepared.id))

    def test_missing_money_is_no_fault_of_the_run(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(NotNow, match="Insufficient funds") as refusal:
            harness.provider().submit(harness.of({"sample": "x", "no_funds": True}))

        assert refusal.value.retry_after == timedelta(minutes=10)
        assert harness.platform.tasks == {}

    @pytest.mark.parametrize("restarted", [False, True])
    def test_an_app_that_makes_batches_runs_as_one_task(self, harness: SevenBridgesHarness, restarted: bool) -> None:
        submission = harness.of(url=BATCHING_APP)
        provider = harness.provider()
        prepared = provider.submit(submission)

        starter = harness.provider() if restarted else provider
        starter.submit(replace(submission, prepared_id=prepared.id))

        [task] = harness.tasks(submission.key)
        assert (task["batch"], task["status"]) == (False, "QUEUED")


class TestErrors:
    def test_a_wrong_token_is_misconfigured(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(Misconfigured, match="SEVENBRIDGES_API_TOKEN"):
            harness.provider(token="revoked-not-a-token").submit(harness.of())

    @pytest.mark.parametrize("project", ["lab/others", "lab/nowhere"])
    def test_an_unusable_project_of_the_settings_is_misconfigured(
        self, harness: SevenBridgesHarness, project: str
    ) -> None:
        harness.platform.add_token("somebody-elses-not-a-token", "lab/others")

        with pytest.raises(Misconfigured, match="SEVENBRIDGES_PROJECT"):
            harness.provider(project=project).submit(harness.of())

    def test_an_unusable_project_of_the_run_is_rejected(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(Rejected, match="lab/nowhere"):
            harness.provider().submit(harness.of(engine={"project": "lab/nowhere"}))

    def test_an_app_that_does_not_exist_is_refused(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(Rejected, match=f"{PROJECT}/nothing"):
            harness.provider().submit(harness.of(url=f"{PROJECT}/nothing"))

    def test_an_endpoint_that_is_not_the_apis_is_misconfigured(self, harness: SevenBridgesHarness) -> None:
        harness.config = replace(harness.config, endpoint=harness.config.endpoint.replace("/v2", "/v3"))

        with pytest.raises(Misconfigured, match="SEVENBRIDGES_API_ENDPOINT"):
            harness.provider().submit(harness.of())

    @pytest.mark.parametrize("fault", [faults.TOO_MANY, faults.MAINTENANCE, faults.UNAVAILABLE])
    @pytest.mark.parametrize("step", ["list_tasks", "create_task", "run_task"])
    def test_a_busy_service_has_certainly_started_nothing(
        self, harness: SevenBridgesHarness, step: str, fault: Fault
    ) -> None:
        harness.platform.faults.add(step, fault)

        with pytest.raises(NotNow):
            accept(harness.provider(), harness.of())

        assert harness.platform.started == []

    @pytest.mark.parametrize("fault", [faults.CUT_BEFORE, faults.ERROR, faults.BAD_GATEWAY])
    def test_a_failure_before_anything_is_created_is_not_now(self, harness: SevenBridgesHarness, fault: Fault) -> None:
        harness.platform.faults.add("list_tasks", fault)

        with pytest.raises(NotNow):
            harness.provider().submit(harness.of())

    def test_an_unreachable_service_is_not_now(self, harness: SevenBridgesHarness) -> None:
        harness.config = replace(harness.config, endpoint="https://127.0.0.1:9/v2")

        with pytest.raises(NotNow):
            harness.provider().submit(harness.of())

    def test_a_service_without_a_trusted_certificate_is_misconfigured(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")

        with pytest.raises(Misconfigured, match="REQUESTS_CA_BUNDLE"):
            harness.provider().submit(harness.of())

    def test_an_unreadable_certificate_authority_is_misconfigured(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/authority.pem")

        with pytest.raises(Misconfigured, match=r"authority\.pem"):
            harness.provider().submit(harness.of())

    def test_plain_http_is_refused(self, harness: SevenBridgesHarness) -> None:
        harness.config = replace(harness.config, endpoint="http://127.0.0.1:9/v2")

        with pytest.raises(Misconfigured, match="https"):
            harness.provider().submit(harness.of())

    def test_no_error_but_those_of_the_port_leaves_a_submission(self, harness: SevenBridgesHarness) -> None:
        every = [fault for fault in vars(faults).values() if isinstance(fault, Fault) and fault is not faults.SLOW]
        for fault in every:
            for step in ("create_task", "run_task", "list_tasks", "get_task", "delete_task"):
                harness.platform.faults.add(step, fault)
                with suppress(ProviderError):
                    accept(harness.provider(), harness.of())


class TestBlame:
    """B2: whose fault a refusal is."""

    @pytest.mark.parametrize(
        ("status", "code"), [(403, 4001), (404, 4002), (403, 5014), (404, 5026), (403, 9020), (403, 9200)]
    )
    @pytest.mark.parametrize("step", ["create_task", "run_task"])
    def test_a_refusal_of_what_the_run_names_rejects_it_and_leaves_no_draft(
        self, harness: SevenBridgesHarness, step: str, status: int, code: int
    ) -> None:
        harness.platform.faults.add(step, refusing(status, code, "no"))
        submission = harness.of()

        with pytest.raises(Rejected, match=f"code {code}"):
            accept(harness.provider(), submission)

        assert harness.tasks(submission.key) == []
        assert harness.platform.started == []

    @pytest.mark.parametrize(("status", "code"), [(403, None), (404, None), (403, 90002), (404, 90003), (500, 90009)])
    @pytest.mark.parametrize("step", ["list_tasks", "create_task", "run_task"])
    def test_a_refusal_that_does_not_say_whose_fault_it_is_is_ambiguous(
        self, harness: SevenBridgesHarness, step: str, status: int, code: int | None
    ) -> None:
        harness.platform.faults.add(step, refusing(status, code, "no"))

        with pytest.raises(AmbiguousRefusal):
            accept(harness.provider(), harness.of())

        assert harness.platform.started == []

    @pytest.mark.parametrize(("status", "code"), [(403, None), (403, 7001), (404, 90003), (403, 90002)])
    def test_a_recorded_draft_that_is_not_shown_is_in_doubt_and_not_rejected(
        self, harness: SevenBridgesHarness, status: int, code: int | None
    ) -> None:
        submission = harness.of()
        id = harness.only_prepare(submission)
        harness.platform.faults.add("get_task", refusing(status, code, "no"))

        with pytest.raises(OutcomeUnknown, match=f"the draft {id}"):
            harness.provider().submit(replace(submission, prepared_id=id))

    @pytest.mark.parametrize("code", [3001, 3002])
    def test_a_recorded_draft_whose_project_is_closed_waits(self, harness: SevenBridgesHarness, code: int) -> None:
        submission = harness.of()
        id = harness.only_prepare(submission)
        harness.platform.faults.add("get_task", refusing(403, code, "no"))

        with pytest.raises(NotNow):
            harness.provider().submit(replace(submission, prepared_id=id))

    def test_a_missing_folder_of_an_input_names_the_input(self, harness: SevenBridgesHarness) -> None:
        harness.platform.faults.add("list_files", refusing(403, 5001, "Insufficient privileges"))

        with pytest.raises(Rejected, match=r"input reads: a\.fastq: .*Insufficient privileges"):
            harness.provider().submit(harness.of({"sample": "x", "reads": {"class": "File", "path": "a.fastq"}}))


@pytest.mark.parametrize("project", ["lab/others", "lab/nowhere"])
class TestListing:
    """B3: a project of the settings that is forbidden (3001) or unknown (3002) is no bug in any listing."""

    def test_lists_of_tasks_are_misconfigured(self, harness: SevenBridgesHarness, project: str) -> None:
        harness.platform.add_token("somebody-elses-not-a-token", "lab/others")
        provider, since = harness.provider(project=project), harness.clock.now() - timedelta(days=1)

        reads: list[Callable[[], object]] = [
            lambda: provider.ended(since),
            lambda: provider.owned_runs(since),
            lambda: provider.former_runs(since),
            lambda: provider.former_runs(None),
        ]
        for read in reads:
            with pytest.raises(Misconfigured, match="SEVENBRIDGES_PROJECT"):
                read()

    @pytest.mark.parametrize("operation", ["get_task", "bulk_get", "abort_task", "delete_task"])
    def test_a_task_in_it_is_misconfigured(self, harness: SevenBridgesHarness, project: str, operation: str) -> None:
        code = 3001 if project == "lab/others" else 3002
        ids = [accept(harness.provider(), harness.of()) for _ in range(2)]
        harness.platform.faults.add(operation, refusing(403, code, "no"))
        provider = harness.provider()
        calls: Mapping[str, Callable[[], object]] = {
            "get_task": lambda: provider.statuses(ids[:1]),
            "bulk_get": lambda: provider.statuses(ids),
            "abort_task": lambda: provider.cancel(ids[0]),
            "delete_task": lambda: provider.delete_draft(ids[0]),
        }

        with pytest.raises(Misconfigured, match="SEVENBRIDGES_PROJECT"):
            calls[operation]()
