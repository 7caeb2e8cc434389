"""The results of `verify`, as a table and as JSON."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from wes_daemon.application.ports.checks import CheckResult, Severity
from wes_daemon.application.reconciling.verify import VerifyReport
from wes_daemon.entrypoints.cli.console import TextConsole, message, plain
from wes_daemon.entrypoints.cli.documents import Document

_STYLES: Mapping[Severity, str] = {Severity.BROKEN: "bold red", Severity.NOTICE: "yellow"}


def print_report(report: VerifyReport) -> None:
    """Print each check with its first violations, then a summary."""
    console = TextConsole()
    console.print_fitted(_table(report))
    console.print_fitted(plain(_summary(report)))


def document(report: VerifyReport) -> Document:
    """Return the report as a JSON object."""
    return {
        "broken": [result.check.name for result in report.broken],
        "notices": [result.check.name for result in report.notices],
        "checks": [_result(result) for result in report.results],
    }


def _result(result: CheckResult) -> Document:
    return {
        "name": result.check.name,
        "description": result.check.description,
        "severity": result.check.severity.value,
        "passed": result.passed,
        "runs": result.count,
        "first": [{"run_id": violation.run_id, "found": violation.found} for violation in result.first],
    }


def _table(report: VerifyReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("CHECK", "STATE"):
        table.add_column(title, no_wrap=True)
    table.add_column("RUNS", justify="right")
    table.add_column("DESCRIPTION")
    for result in report.results:
        check = result.check
        table.add_row(plain(check.name), _state(result), plain(result.count or ""), plain(check.description))
        for line in _violations(result):
            table.add_row("", "", "", message(line))
    return table


def _state(result: CheckResult) -> Text:
    severity = result.check.severity
    return Text("passed", "green") if result.passed else Text(severity.value, _STYLES[severity])


def _violations(result: CheckResult) -> list[str]:
    more = result.count - len(result.first)
    lines = [f"  {violation.run_id}: {violation.found}" for violation in result.first]
    return [*lines, f"  and {more} more"] if more else lines


def _summary(report: VerifyReport) -> str:
    return f"broken: {_names(report.broken)}; notices: {_names(report.notices)}"


def _names(results: Sequence[CheckResult]) -> str:
    return ", ".join(result.check.name for result in results) or "none"
