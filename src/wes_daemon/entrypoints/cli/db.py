"""`wes-daemon db`: upgrades and shows the schema of the database."""

from collections.abc import Sequence

import click

from wes_daemon.entrypoints.cli.options import database_option, json_option
from wes_daemon.entrypoints.cli.session import (
    log_to_stderr,
    open_application,
    require_database,
    settings_of,
    sub_command_settings,
)


@click.group("db")
def db() -> None:
    """Manage the database's schema."""


@db.command("upgrade")
@click.option("--sql", is_flag=True, help="Print the statements and change nothing.")
@database_option
@click.pass_context
def upgrade(ctx: click.Context, sql: bool) -> None:
    """Upgrade the schema.

    The daemon does so when it starts, unless DAEMON_AUTO_MIGRATE is false. Existing tables of a WES service keep
    their columns and rows.
    """
    settings = sub_command_settings(ctx)
    log_to_stderr(ctx, settings)
    with open_application(settings) as application:
        schema = application.schema
        if sql:
            click.echo(schema.upgrade_sql(), nl=False)
            return
        before, head, missing = schema.current(), schema.head(), schema.missing_objects()
        if before == head and not missing:
            click.echo(f"already up to date: {head}")
            return
        schema.upgrade()
        if before != head:
            click.echo(f"upgraded: {before or 'nothing'} -> {schema.current()}")
        _print_created(missing if before == head else (), schema.missing_objects())


def _print_created(lacked: Sequence[str], missing: Sequence[str]) -> None:
    """Print which indexes and triggers on the service's tables were created again, and which could not be created."""
    if created := [name for name in lacked if name not in missing]:
        click.echo(f"created again: {', '.join(created)}")
    if missing:
        click.echo(f"not created: {', '.join(missing)}: run this command as the owner of the service's tables")


@db.command("current")
@database_option
@json_option
@click.pass_context
def current(ctx: click.Context, as_json: bool) -> None:
    """Print the schema's revision, and the head: the revision that this version of wes-daemon needs.

    Exits 0 also if an upgrade is needed; --json shows that as "up_to_date". The indexes and triggers that a service
    has removed from its tables are listed as missing; `wes-daemon db upgrade` creates them again.
    """
    from wes_daemon.entrypoints.cli.documents import json_text

    # Checked before the user's own file replaces a missing DATABASE_URI, because that file may be created.
    require_database(settings_of(ctx))
    settings = sub_command_settings(ctx)
    log_to_stderr(ctx, settings)
    with open_application(settings) as application:
        found, needed = application.schema.current(), application.schema.head()
        # Before an upgrade they are not expected.
        missing = application.schema.missing_objects() if found == needed else ()
    if as_json:
        document = {"current": found, "head": needed, "up_to_date": found == needed, "missing": list(missing)}
        click.echo(json_text(document))
        return
    click.echo(f"current: {found or 'none'}\nhead: {needed}\nup to date: {'yes' if found == needed else 'no'}")
    if missing:
        click.echo(f"missing: {', '.join(missing)}: run `wes-daemon db upgrade`")
