"""`wes-daemon run-once`: submits, cancels and refreshes once; for cron."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import click

from wes_daemon.entrypoints.cli.errors import ExitCode, print_message
from wes_daemon.entrypoints.cli.options import database_option, json_option
from wes_daemon.entrypoints.cli.process import StopOnSignals
from wes_daemon.entrypoints.cli.session import (
    create_data_directory,
    log_as_configured,
    open_application,
    prepare_schema,
    sub_command_settings,
)

if TYPE_CHECKING:
    from wes_daemon.bootstrap.application import RunOnceReport
    from wes_daemon.bootstrap.settings import Settings

OutcomeT = TypeVar("OutcomeT", bound=str)


@click.command("run-once")
@database_option
@json_option
@click.pass_context
def run_once(ctx: click.Context, as_json: bool) -> int:
    """Submit, cancel and refresh once, then exit; for cron.

    Does once what the daemon repeats: submits queued runs, sends cancellations to the providers, and requests the
    status of all active runs. Exits 3 if a provider cannot work until a person acts.
    """
    with StopOnSignals() as signals:
        settings = sub_command_settings(ctx)
        log_as_configured(ctx, settings, sys.stderr if as_json else sys.stdout)
        create_data_directory(settings)
        with open_application(settings) as application:
            signals.call(application.stop.set)
            prepare_schema(application)
            _mention_missing_providers(settings)
            report = application.run_once()
    for reason in report.unserved.reasons.values():
        print_message(reason)
    click.echo(json.dumps(_document(report), indent=2) if as_json else _line(report))
    if signals.received:
        return 128 + signals.received
    serves_nothing = not any(each.is_enabled for each in settings.providers.values())
    is_blocked = report.blocked or (serves_nothing and report.unserved.reasons)
    return ExitCode.MISCONFIGURED if is_blocked else ExitCode.DONE


def _mention_missing_providers(settings: "Settings") -> None:
    """Print what to set if no provider can execute a run here."""
    if not any(each.is_enabled for each in settings.providers.values()):
        print_message("no provider is set up here:")
        for name, each in settings.providers.items():
            print_message(f"- {name}: {each.problem}")


def _document(report: "RunOnceReport") -> dict[str, object]:
    submitted, cancelled, refreshed = report.submitted, report.cancelled, report.refreshed
    return {
        "submit": {
            "enrolled": submitted.enrolled,
            "outcomes": dict(submitted.outcomes),
            "blocked": sorted(submitted.blocked),
        },
        "unserved": {
            "reasons": dict(report.unserved.reasons),
            "ended": {name: count for name, count in report.unserved.ended.items() if count},
        },
        "cancel": {
            "ended": cancelled.ended,
            "passed_on": cancelled.passed_on,
            "deferred": cancelled.deferred,
            "kept": cancelled.kept,
        },
        "refresh": {"outcomes": dict(refreshed.outcomes), "blocked": sorted(refreshed.blocked)},
    }


def _line(report: "RunOnceReport") -> str:
    parts = [
        f"submitted: {_counts(report.submitted.outcomes)}",
        *([f"ended without a provider: {ended}"] if (ended := sum(report.unserved.ended.values())) else []),
        f"cancelled: {report.cancelled.ended + report.cancelled.passed_on}",
        *([f"kept although their rows are missing: {report.cancelled.kept}"] if report.cancelled.kept else []),
        f"refreshed: {_counts(report.refreshed.outcomes)}",
        *([f"blocked: {', '.join(sorted(report.blocked))}"] if report.blocked else []),
    ]
    return "; ".join(parts)


def _counts(outcomes: Mapping[OutcomeT, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "0"
