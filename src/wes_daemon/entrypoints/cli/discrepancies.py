"""What a comparison has shown, as a table for people and as JSON for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from wes_daemon.application.discrepancies import Discrepancy, Kind, Remedy
from wes_daemon.application.mending import Mended
from wes_daemon.application.use_cases.reconcile import ReconcileReport
from wes_daemon.entrypoints.cli.documents import instant
from wes_daemon.entrypoints.cli.escaping import one_line
from wes_daemon.entrypoints.cli.rendering import PersonsConsole
from wes_daemon.entrypoints.cli.wording import moment, plain

_LOUD = frozenset({Kind.DUPLICATE_RUN, Kind.ORPHANED_RUN})


def print_report(report: ReconcileReport) -> None:
    """Print what was found, then who could not be asked, then who was."""
    if report.discrepancies:
        PersonsConsole().put_unfolded(_table(report.discrepancies))
    for type, reason in report.not_asked.items():
        click.echo(one_line(f"{type} could not be asked: {reason}"))
    click.echo(_conclusion(report))


def line(mended: Mended) -> str:
    """What became of one of them."""
    found = mended.discrepancy
    beginning = "mended" if mended.done else "NOT mended"
    return one_line(f"{beginning}: {found.kind} of run {found.run_id}: {mended.words}")


def document(report: ReconcileReport, mended: Sequence[Mended]) -> dict[str, Any]:
    """All of it."""
    outcomes = {each.discrepancy: each for each in mended}
    return {
        "agrees": report.agrees,
        "discrepancies": [_document(each, outcomes) for each in report.discrepancies],
        "compared": sorted(report.compared),
        "not_asked": dict(report.not_asked),
        "not_set_up": dict(report.not_set_up),
    }


def _table(found: Sequence[Discrepancy]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("WHAT", "RUN", "STATE", "PROVIDER", "PROVIDER ID", "PROVIDER SAYS", "CREATED", "REMEDY", "WHY"):
        table.add_column(title, no_wrap=True)
    for each in found:
        table.add_row(
            Text(each.kind.replace("_", " "), "bold red" if each.kind in _LOUD else ""),
            plain(each.run_id),
            plain(each.run_state or "no such run"),
            plain(each.provider),
            plain(each.provider_run_id),
            plain(each.provider_status or "does not know it"),
            plain(moment(each.created_at)),
            plain(each.remedy.replace("_", " ") if each.remedy is not Remedy.NONE else "-"),
            plain(each.explanation),
        )
    return table


def _conclusion(report: ReconcileReport) -> str:
    compared = f"compared: {', '.join(report.compared) or 'none'}"
    absent = f"; not set up: {', '.join(report.not_set_up)}" if report.not_set_up else ""
    count = len(report.discrepancies)
    found = f"{count} discrepanc{'y' if count == 1 else 'ies'}" if count else "no discrepancies"
    if not (report.compared or report.not_asked):
        return f"nothing was compared{absent}"
    return f"{found}; {compared}{absent}"


def _document(found: Discrepancy, outcomes: Mapping[Discrepancy, Mended]) -> dict[str, Any]:
    outcome = outcomes.get(found)
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
        "remedy": found.remedy,
        "mended": outcome.done if outcome else None,
        "outcome": outcome.words if outcome else None,
    }
    return {name: value for name, value in values.items() if value is not None}
