"""The result of `reconcile`, as a table and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from wes_daemon.application.reconciling.discrepancies import Discrepancy, DiscrepancyKind, Repair
from wes_daemon.application.reconciling.reconcile import ReconcileReport
from wes_daemon.application.reconciling.repairing import RepairResult
from wes_daemon.entrypoints.cli.console import TextConsole, message, moment, plain
from wes_daemon.entrypoints.cli.documents import instant
from wes_daemon.entrypoints.cli.errors import for_reader

_HIGHLIGHTED = frozenset(
    {
        DiscrepancyKind.DUPLICATE_RUN,
        DiscrepancyKind.FORMER_DUPLICATE,
        DiscrepancyKind.ORPHANED_RUN,
        DiscrepancyKind.STILL_ACTIVE,
    }
)


def print_report(report: ReconcileReport) -> None:
    """Print the discrepancies, the providers that could not be compared, and a summary."""
    if report.discrepancies:
        TextConsole().print_unfolded(_table(report.discrepancies))
    for type, reason in report.not_compared.items():
        click.echo(for_reader(f"{type} could not be compared: {reason}"))
    click.echo(_summary(report))


def result_line(result: RepairResult) -> str:
    """Return the outcome of one repair, on one line unless a person reads it at a terminal."""
    found = result.discrepancy
    outcome = "repaired" if result.succeeded else "NOT repaired"
    return for_reader(f"{outcome}: {found.kind} of run {found.run_id}: {result.message}")


def document(report: ReconcileReport, results: Sequence[RepairResult]) -> dict[str, Any]:
    """Return the report and the outcomes of the repairs as a JSON object."""
    by_discrepancy = {result.discrepancy: result for result in results}
    return {
        "agrees": report.agrees,
        "discrepancies": [_document(each, by_discrepancy) for each in report.discrepancies],
        "compared": sorted(report.compared),
        "not_compared": dict(report.not_compared),
        "not_configured": dict(report.not_configured),
    }


def _table(found: Sequence[Discrepancy]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("KIND", "RUN", "STATE", "PROVIDER", "PROVIDER ID", "PROVIDER STATUS", "CREATED", "REPAIR", "WHY"):
        table.add_column(title, no_wrap=True)
    for each in found:
        table.add_row(
            Text(each.kind.replace("_", " "), "bold red" if each.kind in _HIGHLIGHTED else ""),
            plain(each.run_id),
            plain(each.run_state or "no such run"),
            plain(each.provider),
            plain(each.provider_run_id or "-"),
            plain(each.provider_status or "no such run"),
            plain(moment(each.created_at)),
            plain(each.repair.replace("_", " ") if each.repair is not Repair.NONE else "-"),
            message(each.explanation),
        )
    return table


def _summary(report: ReconcileReport) -> str:
    compared = f"compared: {', '.join(report.compared) or 'none'}"
    absent = f"; not configured: {', '.join(report.not_configured)}" if report.not_configured else ""
    count = len(report.discrepancies)
    found = f"{count} discrepanc{'y' if count == 1 else 'ies'}" if count else "no discrepancies"
    if not (report.compared or report.not_compared):
        return f"nothing was compared{absent}"
    return f"{found}; {compared}{absent}"


def _document(found: Discrepancy, results: Mapping[Discrepancy, RepairResult]) -> dict[str, Any]:
    result = results.get(found)
    values = {
        "kind": found.kind,
        "run_id": found.run_id,
        "run_state": found.run_state,
        "provider": found.provider,
        "provider_id": found.provider_run_id,
        "provider_state": found.provider_state,
        "provider_status": found.provider_status,
        "created_at": instant(found.created_at),
        "explanation": found.explanation,
        "repair": found.repair,
        "repaired": result.succeeded if result else None,
        "outcome": result.message if result else None,
    }
    return {name: value for name, value in values.items() if value is not None}
