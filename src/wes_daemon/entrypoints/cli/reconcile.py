"""`wes-daemon reconcile`."""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from wes_daemon.domain.runs import ProviderType
from wes_daemon.entrypoints.cli.errors import ExitCode, print_message
from wes_daemon.entrypoints.cli.options import ProviderName, database_option, json_option

if TYPE_CHECKING:
    from wes_daemon.application.reconciling.reconcile import ReconcileReport
    from wes_daemon.application.reconciling.repairing import RepairResult
    from wes_daemon.bootstrap.application import Application


class Age(click.ParamType[timedelta]):
    """A number and a unit, such as `7d`, `36h` or `90m`."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Parse the duration."""
        if isinstance(value, timedelta):
            return value
        units = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
        found = re.fullmatch(r"(\d{1,4})([mhdw])", value.strip().lower(), re.ASCII)
        if found is None or not int(found[1]):
            self.fail(f"{value!r} is not an age: give a number and m, h, d or w, such as 7d.", param, ctx)
        return int(found[1]) * units[found[2]]


@click.command("reconcile")
@click.option(
    "--since",
    type=Age(),
    default="7d",
    show_default=True,
    metavar="AGE",
    help="Compare what was created at the providers within this time: 36h, 7d, 4w.",
)
@click.option(
    "--provider",
    type=ProviderName(),
    metavar="NAME",
    help="Compare only this provider. The default is all that are configured.",
)
@click.option("--apply", is_flag=True, help="Repair the discrepancies that have a repair, after a confirmation.")
@click.option("--yes", is_flag=True, help="With --apply: do not ask for confirmation.")
@click.option(
    "--drafts-older-than",
    type=Age(),
    default="24h",
    show_default=True,
    metavar="AGE",
    help="Ignore drafts that are younger than this.",
)
@click.option(
    "--cancel-strangers",
    "cancel_foreign_runs",
    is_flag=True,
    help="With --apply: also cancel foreign runs. They may belong to another database!",
)
@database_option
@json_option
@click.pass_context
def reconcile(
    ctx: click.Context,
    since: timedelta,
    provider: ProviderType | None,
    apply: bool,
    yes: bool,
    drafts_older_than: timedelta,
    cancel_foreign_runs: bool,
    as_json: bool,
) -> int:
    """Compare the database with the providers.

    Finds provider runs that the database does not record, duplicate runs, foreign runs, runs that are unknown to their
    provider, ends that are not recorded, and leftover drafts. Changes nothing without --apply. With --apply it prints
    what it found, and asks for confirmation unless --yes or --json is given. Exits 0 if everything agrees or is
    repaired, else 1.
    """
    from wes_daemon.application.reconciling.discrepancies import Repair
    from wes_daemon.entrypoints.cli.session import reading_session, require_provider_name

    must_confirm = apply and not (yes or as_json)
    if must_confirm and not _is_terminal():
        raise click.UsageError("--apply asks for confirmation, which needs a terminal: add --yes.")
    with reading_session(ctx) as application:
        tolerances = replace(
            application.tolerances,
            draft_age=drafts_older_than,
            foreign_runs=Repair.CANCEL if cancel_foreign_runs else Repair.NONE,
        )
        require_provider_name(application, provider)
        use_case = application.reconcile
        report = use_case(window=since, tolerances=tolerances, types=[provider] if provider else None)
        _require_configured(report, provider)
        if as_json:
            return _print_json(report, use_case.repair(report.repairable, tolerances=tolerances) if apply else [])
        _print_report(application, report)
        if not (apply and report.repairable) or (must_confirm and not _is_confirmed(report)):
            return ExitCode.DONE if report.agrees else ExitCode.FAILED
        return _print_results(report, use_case.repair(report.repairable, tolerances=tolerances))


def _require_configured(report: "ReconcileReport", provider: ProviderType | None) -> None:
    """Raise `Misconfigured` if the provider that `--provider` names is not configured."""
    from wes_daemon.application.ports.errors import Misconfigured

    for reason in report.not_configured.values() if provider else ():
        raise Misconfigured(reason)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _is_confirmed(report: "ReconcileReport") -> bool:
    from collections import Counter

    counts = Counter(each.repair for each in report.repairable)
    repairs = ", ".join(f"{repair.replace('_', ' ')} {count}" for repair, count in counts.items())
    return click.confirm(f"Repair this ({repairs})?", default=False)


def _print_report(application: "Application", report: "ReconcileReport") -> None:
    from wes_daemon.entrypoints.cli.discrepancies import print_report
    from wes_daemon.entrypoints.cli.session import mention_absent_daemon

    print_report(report)
    if report.discrepancies:
        mention_absent_daemon(application)


def _print_results(report: "ReconcileReport", results: "Sequence[RepairResult]") -> int:
    from wes_daemon.entrypoints.cli.discrepancies import result_line

    for result in results:
        click.echo(result_line(result))
    code = _exit_code(report, results)
    if code:
        print_message("some discrepancies are not repaired; see above")
    return code


def _print_json(report: "ReconcileReport", results: "Sequence[RepairResult]") -> int:
    from wes_daemon.entrypoints.cli.discrepancies import document
    from wes_daemon.entrypoints.cli.documents import json_text

    click.echo(json_text(document(report, results)))
    return _exit_code(report, results)


def _exit_code(report: "ReconcileReport", results: "Sequence[RepairResult]") -> ExitCode:
    repaired = sum(result.succeeded for result in results)
    is_complete = repaired == len(report.discrepancies) and not report.not_compared
    return ExitCode.DONE if is_complete else ExitCode.FAILED
