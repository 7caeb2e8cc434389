"""`wes-daemon db`: upgrades and shows the schema of the database."""

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
        before, head = schema.current(), schema.head()
        if before == head:
            click.echo(f"already up to date: {head}")
            return
        schema.upgrade()
        click.echo(f"upgraded: {before or 'nothing'} -> {schema.current()}")


@db.command("current")
@database_option
@json_option
@click.pass_context
def current(ctx: click.Context, as_json: bool) -> None:
    """Print the schema's revision, and the head: the revision that this version of wes-daemon needs.

    Exits 0 also if an upgrade is needed; --json shows that as "up_to_date".
    """
    from wes_daemon.entrypoints.cli.documents import json_text

    # Checked before the user's own file replaces a missing DATABASE_URI, because that file may be created.
    require_database(settings_of(ctx))
    settings = sub_command_settings(ctx)
    log_to_stderr(ctx, settings)
    with open_application(settings) as application:
        found, needed = application.schema.current(), application.schema.head()
    if as_json:
        click.echo(json_text({"current": found, "head": needed, "up_to_date": found == needed}))
    else:
        click.echo(f"current: {found or 'none'}\nhead: {needed}\nup to date: {'yes' if found == needed else 'no'}")


@db.command("service-views")
def service_views() -> None:
    """Print the SQL that makes views over the tables of the WES service of February 2026.

    For PostgreSQL, and for a person to execute with psql: see docs/service-2026.md.
    """
    from wes_daemon.adapters.persistence.service_views import service_views_sql

    click.echo(service_views_sql(), nl=False)
