"""`wes-daemon reconcile`."""

import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from wes_daemon.domain.runs import ProviderType
from wes_daemon.entrypoints.cli.exits import ExitCode, say
from wes_daemon.entrypoints.cli.options import database_option, json_option

if TYPE_CHECKING:
    from wes_daemon.application.discrepancies import Patience
    from wes_daemon.application.mending import Mended
    from wes_daemon.application.use_cases.reconcile import Reconcile, ReconcileReport
    from wes_daemon.bootstrap.container import Container


class Age(click.ParamType[timedelta]):
    """A number and a unit, such as `7d`, `36h` or `90m`."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The duration."""
        if isinstance(value, timedelta):
            return value
        units = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
        found = re.fullmatch(r"(\d{1,4})([mhdw])", value.strip().lower(), re.ASCII)
        if found is None or not int(found[1]):
            self.fail(f"{value!r} is no age: give a number and m, h, d or w, such as 7d.", param, ctx)
        return int(found[1]) * units[found[2]]


@click.command("reconcile")
@click.option(
    "--since",
    type=Age(),
    default="7d",
    show_default=True,
    metavar="AGE",
    help="How far back to look at what providers hold: 36h, 7d, 4w.",
)
@click.option(
    "--provider",
    type=click.Choice([type.value for type in ProviderType], case_sensitive=False),
    help="Only this one; else all that are set up.",
)
@click.option("--apply", "is_to_mend", is_flag=True, help="Mend what can be mended, after asking.")
@click.option("--yes", is_flag=True, help="With --apply: do not ask.")
@click.option(
    "--drafts-older-than",
    type=Age(),
    default="24h",
    show_default=True,
    metavar="AGE",
    help="Younger drafts are not called left behind.",
)
@click.option(
    "--cancel-strangers",
    is_flag=True,
    help="With --apply: cancel also what bears our mark and is of no run in this database. It may be another one's!",
)
@database_option
@json_option
@click.pass_context
def reconcile(
    ctx: click.Context,
    since: timedelta,
    provider: str | None,
    is_to_mend: bool,
    yes: bool,
    drafts_older_than: timedelta,
    cancel_strangers: bool,
    as_json: bool,
) -> int:
    """Compare the database with what the providers hold.

    Finds runs at a provider that the database does not know, second runs, runs that the provider does not know, ends
    that nobody has written down, and drafts left behind. Changes nothing, unless --apply is given: then it shows what
    it found and asks (not with --yes or --json). Exits 0 when all agrees or is mended, else 1.
    """
    from wes_daemon.application.discrepancies import Remedy
    from wes_daemon.entrypoints.cli.session import reading_session

    is_to_ask = is_to_mend and not (yes or as_json)
    if is_to_ask and not _is_on_terminal():
        raise click.UsageError("--apply asks before it changes anything, but here is no terminal: add --yes.")
    with reading_session(ctx) as container:
        patience = replace(
            container.patience(),
            drafts_left_after=drafts_older_than,
            strangers=Remedy.CANCEL if cancel_strangers else Remedy.NONE,
        )
        use_case = container.reconcile()
        report = use_case(window=since, patience=patience, among=_chosen(provider))
        _require_asked(report, provider)
        if as_json:
            return _as_document(report, _mended(use_case, report, patience) if is_to_mend else [])
        _show(container, report)
        if not (is_to_mend and report.can_be_mended) or (is_to_ask and not _is_wanted(report)):
            return ExitCode.DONE if report.agrees else ExitCode.FAILED
        return _tell(report, _mended(use_case, report, patience))


def _chosen(provider: str | None) -> Collection[ProviderType]:
    return [ProviderType(provider)] if provider else list(ProviderType)


def _require_asked(report: "ReconcileReport", provider: str | None) -> None:
    """Who names a provider wants it to be asked, also where nobody has used it yet."""
    from wes_daemon.application.ports.errors import Misconfigured

    for reason in report.not_set_up.values() if provider else ():
        raise Misconfigured(reason)


def _is_on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _is_wanted(report: "ReconcileReport") -> bool:
    from collections import Counter

    counts = Counter(each.remedy for each in report.can_be_mended)
    what = ", ".join(f"{remedy.replace('_', ' ')} {count}" for remedy, count in counts.items())
    return click.confirm(f"Mend this ({what})?", default=False)


def _mended(use_case: "Reconcile", report: "ReconcileReport", patience: "Patience") -> "Sequence[Mended]":
    return use_case.mend(report.can_be_mended, patience=patience)


def _show(container: "Container", report: "ReconcileReport") -> None:
    from wes_daemon.entrypoints.cli.discrepancies import print_report
    from wes_daemon.entrypoints.cli.session import mention_absent_daemon

    print_report(report)
    if report.discrepancies:
        mention_absent_daemon(container)


def _tell(report: "ReconcileReport", mended: "Sequence[Mended]") -> int:
    from wes_daemon.entrypoints.cli.discrepancies import line

    for each in mended:
        click.echo(line(each))
    code = _code(report, mended)
    if code:
        say("not everything is mended; see above")
    return code


def _as_document(report: "ReconcileReport", mended: "Sequence[Mended]") -> int:
    from wes_daemon.entrypoints.cli.discrepancies import document
    from wes_daemon.entrypoints.cli.documents import as_text

    click.echo(as_text(document(report, mended)))
    return _code(report, mended)


def _code(report: "ReconcileReport", mended: "Sequence[Mended]") -> ExitCode:
    is_over = sum(each.done for each in mended) == len(report.discrepancies) and not report.not_asked
    return ExitCode.DONE if is_over else ExitCode.FAILED
