"""The reading of Seven Bridges' answers."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.builders import NOON
from wes_daemon.adapters.providers.sevenbridges.client import allowance, as_message, as_time, requested_block
from wes_daemon.adapters.providers.sevenbridges.codes import PROJECT_CODES
from wes_daemon.adapters.providers.sevenbridges.details import _log_name, stable_outputs
from wes_daemon.adapters.providers.sevenbridges.errors import (
    Failure,
    FailureKind,
    outcome_unknown,
    provider_error,
    translated,
    translated_unless_rejected,
)
from wes_daemon.adapters.providers.sevenbridges.statuses import STATES, read_status
from wes_daemon.adapters.providers.sevenbridges.tasks import is_task_id, read_task
from wes_daemon.application.ports.call_gate import Allowance
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    AnswerLost,
    Misconfigured,
    NotNow,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
)
from wes_daemon.domain.states import RunState

SOON = NOON + timedelta(minutes=2)
SOON_SECONDS = str(int(SOON.timestamp()))
LATE_SECONDS = str(int((NOON + timedelta(minutes=5)).timestamp()))


def refusal(status: int, code: int | None = None, *, is_write: bool = True) -> Failure:
    return Failure(FailureKind.REFUSED, "no", is_write=is_write, status=status, code=code)


class TestErrors:
    @pytest.mark.parametrize(
        ("failure", "kind"),
        [
            (refusal(400, 90000), Rejected),
            (refusal(400), Rejected),
            (refusal(400, 7024), Rejected),
            (refusal(403, 5001), Rejected),
            (refusal(404, 6002), Rejected),
            (refusal(403, 6001), Rejected),
            (refusal(401), Misconfigured),
            (refusal(401, 7000), Misconfigured),
            (refusal(403), AmbiguousRefusal),
            (refusal(404), AmbiguousRefusal),
            (refusal(429, 1000), Throttled),
            (refusal(429), Throttled),
            (refusal(429, 7000), Throttled),
            (refusal(503, 0), Unavailable),
            (refusal(503, 7000), Unavailable),
            (refusal(503, 9000), NotNow),
            (refusal(400, 7007), OutcomeUnknown),
            (refusal(409), OutcomeUnknown),
            (refusal(408), OutcomeUnknown),
            (refusal(500), AnswerLost),
            (refusal(502), AnswerLost),
            (refusal(503), AnswerLost),
            (refusal(599), AnswerLost),
            (refusal(500, is_write=False), Unavailable),
            (refusal(503, is_write=False), Unavailable),
            (refusal(409, is_write=False), NotNow),
            (Failure(FailureKind.NOT_SENT, "refused", is_write=True), Unavailable),
            (Failure(FailureKind.NO_ANSWER, "cut", is_write=True), AnswerLost),
            (Failure(FailureKind.NO_ANSWER, "cut", is_write=False), Unavailable),
            (Failure(FailureKind.UNUSABLE, "certificate", is_write=True), Misconfigured),
        ],
    )
    def test_each_failure_has_its_port_error(self, failure: Failure, kind: type[Exception]) -> None:
        assert type(provider_error(failure)) is kind

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (refusal(502), AnswerLost),
            (refusal(503, 7000, is_write=False), AnswerLost),
            (Unavailable("connection refused"), AnswerLost),
            (refusal(429), OutcomeUnknown),
            (refusal(409), OutcomeUnknown),
            (refusal(304), OutcomeUnknown),
            (NotNow("not yet"), OutcomeUnknown),
        ],
    )
    def test_a_doubt_that_the_services_failure_leaves_unresolved_is_a_lost_answer(
        self, error: Failure | NotNow, kind: type[Exception]
    ) -> None:
        found = outcome_unknown("perhaps it runs", error)

        assert type(found) is kind
        assert str(found) == f"perhaps it runs: {error}"

    @pytest.mark.parametrize("failure", [refusal(415, 90008), refusal(405, 90006), refusal(304)])
    def test_what_is_not_in_the_table_is_a_bug_and_passes_unchanged(self, failure: Failure) -> None:
        with pytest.raises(Failure) as passed, translated():
            raise failure

        assert passed.value is failure

    @pytest.mark.parametrize("failure", [refusal(400), refusal(400, 7006), refusal(400, 90000)])
    def test_a_malformed_request_is_a_bug_where_nothing_can_be_refused(self, failure: Failure) -> None:
        with pytest.raises(Failure), translated_unless_rejected():
            raise failure

    @pytest.mark.parametrize(
        "failure", [refusal(403, 3001), refusal(404, 3002), refusal(400, 3012), refusal(403, 7001), refusal(404, 5002)]
    )
    def test_a_refusal_of_access_is_misconfigured_where_nothing_can_be_refused(self, failure: Failure) -> None:
        """B3: while tasks are listed, 3001 and 3002 are no bug."""
        with pytest.raises(Misconfigured) as raised, translated_unless_rejected():
            raise failure

        assert str(failure) in str(raised.value)
        assert ("SEVENBRIDGES_PROJECT" in str(raised.value)) is (failure.code in PROJECT_CODES)

    def test_the_error_has_the_services_message_and_numbers(self) -> None:
        assert str(provider_error(refusal(400, 7012))) == "Seven Bridges: no (HTTP 400, code 7012)"

    def test_a_time_that_was_named_is_passed_on(self) -> None:
        asked = timedelta(seconds=7)

        error = provider_error(Failure(FailureKind.REFUSED, "busy", is_write=True, status=429, retry_after=asked))

        assert isinstance(error, NotNow)
        assert error.retry_after == asked


class TestRateHeaders:
    def test_every_answer_reports_the_rate_limit(self) -> None:
        headers = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "12", "X-RateLimit-Reset": SOON_SECONDS}

        assert allowance(headers) == Allowance(limit=1000, remaining=12, resets_at=SOON)

    @pytest.mark.parametrize("text", ["", "-1", "many", "9.5"])
    def test_a_header_that_is_not_a_number_of_calls_is_ignored(self, text: str) -> None:
        assert allowance({"X-RateLimit-Limit": text, "X-RateLimit-Remaining": text}) == Allowance()

    def test_a_reset_with_a_fraction_is_a_time(self) -> None:
        """B4."""
        headers = {"X-RateLimit-Remaining": "0.0", "X-RateLimit-Reset": f"{SOON_SECONDS}.25"}

        assert allowance(headers) == Allowance(remaining=0, resets_at=SOON + timedelta(seconds=0.25))

    @pytest.mark.parametrize(
        ("status", "headers", "until"),
        [
            (200, {}, None),
            (200, {"X-RateLimit-Remaining": "12", "X-RateLimit-Reset": SOON_SECONDS}, None),
            (200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": SOON_SECONDS}, SOON),
            (200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{SOON_SECONDS}.0"}, SOON),
            (200, {"X-RateLimit-Remaining": "0"}, None),
            (200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, None),
            (200, {"Retry-After": "120"}, None),
            (403, {"X-RateLimit-Remaining": "12", "X-RateLimit-Reset": SOON_SECONDS}, None),
            (429, {"X-RateLimit-Reset": SOON_SECONDS}, SOON),
            (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": SOON_SECONDS}, SOON),
            (429, {"X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": SOON_SECONDS}, SOON),
            (429, {"Retry-After": "120"}, SOON),
            (429, {"Retry-After": "120.0"}, SOON),
            (429, {"Retry-After": format_datetime(SOON, usegmt=True)}, SOON),
            (429, {"Retry-After": "120", "X-RateLimit-Remaining": "7", "X-RateLimit-Reset": LATE_SECONDS}, SOON),
            (500, {"X-RateLimit-Remaining": "12", "X-RateLimit-Reset": SOON_SECONDS}, None),
            (503, {"X-RateLimit-Remaining": "12", "X-RateLimit-Reset": SOON_SECONDS}, None),
            (503, {"X-RateLimit-Reset": SOON_SECONDS}, None),
            (503, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": SOON_SECONDS}, SOON),
            (503, {"Retry-After": "120", "X-RateLimit-Remaining": "12", "X-RateLimit-Reset": LATE_SECONDS}, SOON),
            (503, {"Retry-After": format_datetime(SOON, usegmt=True)}, SOON),
            (503, {"Retry-After": "72000"}, NOON + timedelta(minutes=15) - timedelta(seconds=1)),
            (503, {}, None),
        ],
    )
    def test_calls_are_blocked_until_one_second_after_the_named_time_and_for_15_minutes_at_most(
        self, status: int, headers: Mapping[str, str], until: datetime | None
    ) -> None:
        """B4: every answer names the end of the window, so that time counts only where no call is left."""
        block = requested_block(status, headers, now=NOON)

        assert (block.until if block else None) == (until + timedelta(seconds=1) if until else None)

    @pytest.mark.parametrize(
        "reset",
        ["", "soon", "12.5", "0", str(int(NOON.timestamp())), f"{SOON_SECONDS}000", "9" * 40, "-1", "nan", "inf"],
    )
    def test_a_429_without_a_usable_time_blocks_calls_for_10_seconds(self, reset: str) -> None:
        useless = [{"X-RateLimit-Reset": reset}, {}, {"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": SOON_SECONDS}]

        blocks = [requested_block(429, headers, now=NOON) for headers in useless]

        assert [block and block.until for block in blocks] == [NOON + timedelta(seconds=10)] * 3

    @pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-5", "Thu, 32 Foo 2026 00:00:00 GMT"])
    def test_a_retry_after_that_cannot_be_read_is_ignored(self, text: str) -> None:
        assert requested_block(503, {"Retry-After": text}, now=NOON) is None

    def test_the_reason_tells_an_exhausted_quota_from_a_request_of_the_service(self) -> None:
        """B4."""
        exhausted = requested_block(429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": SOON_SECONDS}, now=NOON)
        requested = requested_block(503, {"Retry-After": "120"}, now=NOON)

        assert exhausted is not None
        assert "quota" in exhausted.reason
        assert requested is not None
        assert "asked for no calls" in requested.reason
        assert "503" in requested.reason


class TestStates:
    def test_every_status_of_the_sdk_has_a_state(self) -> None:
        sdk = pytest.importorskip("sevenbridges.models.enums").TaskStatus
        words = {value for name, value in vars(sdk).items() if name.isupper() and isinstance(value, str)}

        assert words == set(STATES)

    @pytest.mark.parametrize("task", [{}, {"status": None}, {"status": "EXPORTING"}])
    def test_what_cannot_be_read_is_unknown(self, task: Mapping[str, object]) -> None:
        assert read_status(task).state is RunState.UNKNOWN
        assert read_status(task).provider_status

    @pytest.mark.parametrize(
        ("progress", "state"),
        [
            ({}, RunState.COMPLETE),
            ({"completed": 3, "failed": 0, "aborted": 0}, RunState.COMPLETE),
            ({"completed": "3", "failed": "0", "aborted": "0"}, RunState.COMPLETE),
            ({"completed": 2, "failed": 1, "aborted": 0}, RunState.EXECUTOR_ERROR),
            ({"completed": "2", "failed": "1"}, RunState.EXECUTOR_ERROR),
            ({"completed": 0, "failed": 3, "aborted": 0}, RunState.EXECUTOR_ERROR),
            ({"completed": "0", "failed": "2", "aborted": "1"}, RunState.EXECUTOR_ERROR),
            ({"completed": 0, "failed": 0, "aborted": 3}, RunState.CANCELED),
            ({"completed": "0", "failed": "0", "aborted": "3"}, RunState.CANCELED),
            ({"aborted": "3"}, RunState.CANCELED),
        ],
    )
    def test_a_completed_batch_ends_as_its_children(self, progress: Mapping[str, object], state: RunState) -> None:
        """B7: the numbers may be texts."""
        report = read_status({"status": "COMPLETED", "batch": True, "execution_status": progress})

        assert report.state is state
        assert ("failed" in report.message) is (state is RunState.EXECUTOR_ERROR)

    def test_the_message_of_a_running_task_is_ignored(self) -> None:
        task = {"status": "RUNNING", "execution_status": {"message": "step 3 of 9", "message_code": 7}}

        assert read_status(task).message == ""

    def test_a_failure_always_has_a_reason(self) -> None:
        assert "FAILED" in read_status({"status": "FAILED"}).message

    def test_the_message_code_follows_the_message(self) -> None:
        task = {"status": "FAILED", "execution_status": {"message": "Out of disk", "message_code": 9}}

        assert read_status(task).message == "Out of disk (message code 9)"


class TestReading:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-01-12T18:39:30Z", datetime(2026, 1, 12, 18, 39, 30, tzinfo=UTC)),
            ("2026-01-12T18:39:30", datetime(2026, 1, 12, 18, 39, 30, tzinfo=UTC)),
            ("2026-01-12T18:39:30.250Z", datetime(2026, 1, 12, 18, 39, 30, 250_000, tzinfo=UTC)),
            ("2026-01-12T19:39:30+01:00", datetime(2026, 1, 12, 18, 39, 30, tzinfo=UTC)),
            ("yesterday", None),
            (None, None),
            (7, None),
        ],
    )
    def test_times_are_aware_or_none(self, text: object, moment: datetime | None) -> None:
        assert as_time(text) == moment

    @pytest.mark.parametrize("id", ["", "..", "unknown", "3f2a0c1e-0000-4000-8000-00000000000g", "a/b"])
    def test_no_other_id_can_be_a_tasks(self, id: str) -> None:
        assert not is_task_id(id)

    @pytest.mark.parametrize("found", [{}, {"errors": None, "batch": "true", "id": 7}, {"errors": ["x", {}]}])
    def test_a_task_of_another_shape_does_no_harm(self, found: Mapping[str, object]) -> None:
        assert read_task(found).is_batch is False

    def test_only_a_message_about_money_without_an_input_is_about_money(self) -> None:
        errors = [
            {"message": "Insufficient funds in the billing group", "input_id": None},
            {"message": "billing", "input_id": "billing"},
            {"message": "Refunds are refused"},
        ]

        assert [problem.is_about_money for problem in read_task({"errors": errors}).problems] == [True, False, False]

    @pytest.mark.parametrize(
        ("errors", "shown"),
        [
            ([{"type": "schema", "input_id": "reads"}], ['reads: {"type": "schema", "input_id": "reads"}']),
            ([{"message": None, "detail": "no funds left"}], ['{"message": null, "detail": "no funds left"}']),
            (["File is gone"], ["File is gone"]),
            ({"reads": "File is gone"}, ['{"reads": "File is gone"}']),
            ("File is gone", ["File is gone"]),
            ([{}, None, ""], []),
            (None, []),
        ],
    )
    def test_an_error_without_a_message_is_quoted_whole(self, errors: object, shown: list[str]) -> None:
        """B7."""
        problems = read_task({"errors": errors}).problems

        assert list(map(str, problems)) == shown
        assert not any(problem.is_about_money for problem in problems)

    def test_the_type_of_an_error_may_say_that_money_is_missing(self) -> None:
        errors = [{"type": "error/task_validation/billing"}]

        assert [problem.is_about_money for problem in read_task({"errors": errors}).problems] == [True]


class TestOutputs:
    def test_files_are_made_stable_wherever_they_stand(self) -> None:
        id = "5" * 24
        found = {"class": "File", "path": id, "name": "a.bam", "location": "https://x?Expires=1", "dirname": "/w"}
        stable = {"class": "File", "path": id, "name": "a.bam", "basename": "a.bam", "location": f"drs://h/{id}"}

        kept = stable_outputs({"a": found, "b": [{"inner": found}], "c": None, "d": 3}, drs_host="h")

        assert kept == {"a": stable, "b": [{"inner": stable}], "d": 3}

    def test_where_the_drs_host_is_not_known_there_is_no_location(self) -> None:
        found = {"class": "File", "path": "5" * 24, "location": "https://x?Expires=1"}

        assert "location" not in stable_outputs({"a": found}, drs_host=None)["a"]  # type: ignore[operator]


class TestMessages:
    """B7: what the service says without a message is quoted whole."""

    @pytest.mark.parametrize(
        ("said", "shown"),
        [
            ({"message": "File is gone", "code": 7}, "File is gone"),
            ({"message": " ", "code": 7}, '{"message": " ", "code": 7}'),
            ("File is gone", "File is gone"),
            (["a", 1], '["a", 1]'),
            (None, ""),
            ({}, ""),
        ],
    )
    def test_a_message_or_the_whole_is_shown(self, said: object, shown: str) -> None:
        assert as_message(said) == shown


class TestLogs:
    """B7: the service names no streams, so a log's stream is read from its name."""

    @pytest.mark.parametrize(
        ("names", "stdout", "stderr"),
        [
            (["job.err.log", "job.out.log"], "job.out.log", "job.err.log"),
            (["cwl.output.json", "error_report.html", "stdout", "stderr"], "stdout", "stderr"),
            (["errors.txt", "outputs.json", "STDERR", "StdOut"], "StdOut", "STDERR"),
            (["job.err.log", "job.out.log", "stderr.log", "stdout.log"], "stdout.log", "stderr.log"),
            (["stderr.log", "stderr", "stdout.log", "stdout"], "stdout", "stderr"),
            (
                ["error_correction.out.log", "error_correction.err.log"],
                "error_correction.out.log",
                "error_correction.err.log",
            ),
            (["layout.json", "job.out.log"], "job.out.log", None),
            (["terrible.txt", "joberr.txt", "jobout.txt"], "jobout.txt", "terrible.txt"),
            (["cmd.log", "docker.version"], None, None),
        ],
    )
    def test_the_nearest_name_is_that_of_the_stream(
        self, names: list[str], stdout: str | None, stderr: str | None
    ) -> None:
        logs = {name: f"address of {name}" for name in names}

        found = {stream: _log_name(logs, stream) or None for stream in ("stdout", "stderr")}

        assert found == {"stdout": stdout, "stderr": stderr}
