"""The report of `verify`, and the context in which the checks are evaluated."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest

from wes_daemon.application.ports import checks
from wes_daemon.application.ports.checks import CHECKS, Check, CheckContext, CheckResult, Severity
from wes_daemon.application.reconciling.verify import Verify
from wes_daemon.domain.runs import ProviderType, RunId


class FakeChecks:
    """Finds the violations that a test names, and remembers the context."""

    def __init__(self, *violated: Check) -> None:
        self.contexts: list[CheckContext] = []
        self._violated = violated

    def run(self, context: CheckContext) -> Sequence[CheckResult]:
        self.contexts.append(context)
        return [CheckResult(check=check, count=int(check in self._violated)) for check in CHECKS]


def verify(found: FakeChecks) -> Verify:
    return Verify(checks=found, concurrency_limit=7, default_provider=ProviderType.LOCAL)


def test_a_report_separates_broken_checks_from_notices() -> None:
    report = verify(FakeChecks(checks.END_IS_FINAL, checks.NO_RUN_NEEDS_REVIEW))()

    assert [result.check for result in report.broken] == [checks.END_IS_FINAL]
    assert [result.check for result in report.notices] == [checks.NO_RUN_NEEDS_REVIEW]
    assert len(report.results) == len(CHECKS)


def test_a_report_without_violations_is_empty() -> None:
    report = verify(FakeChecks())()

    assert (report.broken, report.notices) == ([], [])


def test_the_checks_get_the_settings_of_this_process() -> None:
    found = FakeChecks()

    verify(found)(overdue_after=timedelta(minutes=3))

    [context] = found.contexts
    assert (context.concurrency_limit, context.default_provider) == (7, ProviderType.LOCAL)
    assert context.overdue_after == timedelta(minutes=3)


def test_each_check_has_a_name_of_its_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS) == 18


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (3, "3"),
        (datetime(2026, 1, 1, 12, tzinfo=UTC), "2026-01-01 12:00:00+00:00"),
        (datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2026-01-01 10:00:00+00:00"),
    ],
)
def test_a_violation_describes_its_values_as_text(value: object, text: str) -> None:
    check = Check(name="a-check", description="Always.", found="found {value}", severity=Severity.NOTICE)

    violation = check.violation(RunId("run-1"), value=value)

    assert (violation.run_id, violation.found) == ("run-1", f"found {text}")
