"""`wes-daemon run-once`: for cron."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from wes_daemon.entrypoints.cli.exits import ExitCode
from wes_daemon.entrypoints.cli.options import database_option, json_option
from wes_daemon.entrypoints.cli.process import StopOnSignals

if TYPE_CHECKING:
    from wes_daemon.application.following.cancel_runs import CancelReport
    from wes_daemon.application.following.refresh_statuses import RefreshReport
    from wes_daemon.application.submitting.submit_queued_runs import SubmitReport
    from wes_daemon.bootstrap.container import Container


@click.command("run-once")
@database_option
@json_option
@click.pass_context
def run_once(ctx: click.Context, as_json: bool) -> int:
    """Submit, cancel and refresh once, then exit; for cron.

    Does what the daemon does again and again: submits what is queued, passes cancels on, and asks each provider
    what became of its runs. Exits 3 where a provider cannot work until somebody acts.
    """
    from wes_daemon.entrypoints.cli.session import (
        container_for,
        log_as_configured,
        prepare_schema,
        sub_command_settings,
    )

    with StopOnSignals() as signals:
        settings = sub_command_settings(ctx)
        log_as_configured(ctx, settings, sys.stderr if as_json else sys.stdout)
        with container_for(settings) as container:
            signals.call(container.stop().set)
            prepare_schema(container)
            submitted, cancelled, refreshed = _passes(container)
    summary = _document(submitted, cancelled, refreshed) if as_json else _line(submitted, cancelled, refreshed)
    click.echo(summary)
    if signals.received:
        return 128 + signals.received
    return ExitCode.MISCONFIGURED if submitted.blocked or refreshed.blocked else ExitCode.DONE


def _passes(container: "Container") -> "tuple[SubmitReport, CancelReport, RefreshReport]":
    from wes_daemon.application.runtime.lease_renewal import renewing_lease

    settings = container.settings()
    with renewing_lease(container.daemon_session(), every=settings.lease / 4, outage_log=container.outage_log()):
        return (
            container.submit_queued_runs()(),
            container.cancel_runs()(),
            # Further ahead than any run is put off while its provider answers.
            container.refresh_statuses()(ahead=settings.status_check_interval * 2),
        )


def _document(submitted: "SubmitReport", cancelled: "CancelReport", refreshed: "RefreshReport") -> str:
    found: dict[str, Any] = {
        "submit": {
            "enrolled": submitted.enrolled,
            "outcomes": dict(submitted.outcomes),
            "blocked": sorted(submitted.blocked),
        },
        "cancel": {"ended": cancelled.ended, "passed_on": cancelled.passed_on, "deferred": cancelled.deferred},
        "refresh": {"outcomes": dict(refreshed.outcomes), "blocked": sorted(refreshed.blocked)},
    }
    return json.dumps(found, indent=2)


def _line(submitted: "SubmitReport", cancelled: "CancelReport", refreshed: "RefreshReport") -> str:
    blocked = sorted({*submitted.blocked, *refreshed.blocked})
    parts = [
        f"submitted: {_counts(submitted.outcomes)}",
        f"cancelled: {cancelled.ended + cancelled.passed_on}",
        f"looked at: {_counts(refreshed.outcomes)}",
        *([f"blocked: {', '.join(blocked)}"] if blocked else []),
    ]
    return "; ".join(parts)


def _counts(found: Any) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items()) or "0"
