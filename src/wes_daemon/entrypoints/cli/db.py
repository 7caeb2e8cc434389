"""`wes-daemon db`: the database's schema."""

import click

from wes_daemon.entrypoints.cli.options import database_option, json_option


@click.group("db")
def db() -> None:
    """See to the database's schema."""


@db.command("upgrade")
@click.option("--sql", is_flag=True, help="Print the statements and change nothing.")
@database_option
@click.pass_context
def upgrade(ctx: click.Context, sql: bool) -> None:
    """Bring the schema up to date.

    The daemon does so by itself when it starts, unless DAEMON_AUTO_MIGRATE is false. Tables of a WES service that
    are there already are kept as they are, with what is in them.
    """
    from wes_daemon.entrypoints.cli.session import container_for, log_to_stderr, sub_command_settings

    settings = sub_command_settings(ctx)
    log_to_stderr(ctx, settings)
    with container_for(settings) as container:
        schema = container.schema()
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
    """Print which schema the database has, and the head: the one that this version of wes-daemon needs.

    Exits 0 also when an upgrade is needed; --json says so as "up_to_date".
    """
    from wes_daemon.entrypoints.cli.databases import require_database
    from wes_daemon.entrypoints.cli.documents import as_text
    from wes_daemon.entrypoints.cli.session import container_for, log_to_stderr, read, sub_command_settings

    # Before the user's own file is taken where none is named: that may be made.
    require_database(read(ctx))
    settings = sub_command_settings(ctx)
    log_to_stderr(ctx, settings)
    with container_for(settings) as container:
        found, needed = container.schema().current(), container.schema().head()
    if as_json:
        click.echo(as_text({"current": found, "head": needed, "up_to_date": found == needed}))
    else:
        click.echo(f"current: {found or 'none'}\nhead: {needed}\nup to date: {'yes' if found == needed else 'no'}")
