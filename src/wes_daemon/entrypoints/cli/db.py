"""`wes-daemon db`: upgrades and shows the schema of the database."""

import click

from wes_daemon.entrypoints.cli.options import database_option, json_option
from wes_daemon.entrypoints.cli.session import (
    create_data_directory,
    log_to_stderr,
    open_application,
    require_database,
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
    if not sql:
        create_data_directory(settings)
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

    settings = sub_command_settings(ctx)
    require_database(settings)
    log_to_stderr(ctx, settings)
    with open_application(settings) as application:
        found, needed = application.schema.current(), application.schema.head()
    if as_json:
        click.echo(json_text({"current": found, "head": needed, "up_to_date": found == needed}))
    else:
        click.echo(f"current: {found or 'none'}\nhead: {needed}\nup to date: {'yes' if found == needed else 'no'}")
