"""Checks and upgrades the schema of a database.

Alembic is imported in the functions that use it, so that units of work start without loading it.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Label, column, func, inspect, select, table
from sqlalchemy.engine.reflection import ObjectKind

from wes_daemon.adapters.persistence.errors import UPGRADE_COMMAND, describe_database
from wes_daemon.adapters.persistence.keys import adapt_run_keys, other_run_keys
from wes_daemon.adapters.persistence.relations import recognise
from wes_daemon.adapters.persistence.service_tables import judge
from wes_daemon.adapters.persistence.tables import daemon_metadata, service_metadata
from wes_daemon.adapters.persistence.transactions import SCHEMA_LOCK, reading, upgrading
from wes_daemon.application.ports.errors import StorageMisconfigured

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "wes_daemon_alembic_version"
"""This is not Alembic's default name: a WES service in the same database may store its own revision under that name."""

REVISIONS = ("0005", "0004", "0003", "0002", "0001")
"""The revisions that this version knows, newest first. A list, since Alembic takes long to load; a test compares it."""

# Only `submit` and other programs that create runs insert into `workflow_runs`.
_PRIVILEGES: Mapping[str, Sequence[str]] = {
    "workflow_runs": ("SELECT", "UPDATE"),
    "task_logs": ("SELECT", "INSERT", "UPDATE"),
    **dict.fromkeys(daemon_metadata.tables, ("SELECT", "INSERT", "UPDATE", "DELETE")),
}

# Alembic stores the current upgrade in a module variable, so that threads must not upgrade at the same time.
_alembic_lock = threading.Lock()


def upgrade_settings(dialect: str) -> Sequence[str]:
    """The statements at the start of an upgrade's transaction."""
    if dialect != "postgresql":
        return ()
    return (
        f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})",
        # While the upgrade waits for the lock of a table, all other sessions wait behind it.
        "SET LOCAL lock_timeout = '30s'",
    )


class Schema:
    """The schema of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def current(self) -> str | None:
        """The database's revision; None if it was never upgraded."""
        with reading(self._engine) as connection:
            return _revision_in(connection)

    def head(self) -> str:
        """The revision that this version of the package needs."""
        return REVISIONS[0]

    def upgrade(self) -> None:
        """Upgrade the database to `head` in one transaction; other processes may upgrade it at the same time.

        Raises:
            StorageMisconfigured: an existing table cannot be used, a privilege is missing,
                or a newer version has upgraded the database. Nothing was changed.
        """
        from alembic import command

        with _alembic_lock, upgrading(self._engine) as connection:
            for statement in upgrade_settings(self._engine.dialect.name):
                connection.exec_driver_sql(statement)
            self._refuse_newer(_revision_in(connection))
            self._refuse(judge(connection).problems)
            command.upgrade(_config(connection=connection), "head")
            recognise(connection)
            adapt_run_keys(connection)
            connection.commit()

    def upgrade_sql(self) -> str:
        """The statements that upgrade an empty database, or a WES service's, to `head`, without a connection."""
        from alembic import command

        statements = StringIO()
        with _alembic_lock:
            command.upgrade(_config(statements, dialect=self._engine.dialect.name), "head", sql=True)
        return statements.getvalue()

    def check(self) -> None:
        """Check the revision, the tables, the types of columns and the privileges.

        Raises:
            StorageMisconfigured: the daemon cannot work with the database. The message says what fixes it.
        """
        with reading(self._engine) as connection:
            revision = _revision_in(connection)
            self._refuse_newer(revision)
            if revision != self.head():
                found = "was never prepared for the daemon" if revision is None else f"is at revision {revision}"
                raise self._misconfigured(f"it {found}, but {self.head()} is needed: run `{UPGRADE_COMMAND}`")
            recognise(connection)
            self._refuse(
                [
                    *judge(connection).problems,
                    *_missing_tables(connection),
                    *_missing_privileges(connection),
                ]
            )
            if tables := other_run_keys(connection):
                raise self._misconfigured(
                    f"run_id in {', '.join(tables)} has not the type of workflow_runs.run_id: run `{UPGRADE_COMMAND}`"
                )

    def limits(self) -> Sequence[str]:
        """What works only in part with the tables of this service, each with the SQL that fixes it."""
        with reading(self._engine) as connection:
            return judge(connection).limits

    def _refuse_newer(self, revision: str | None) -> None:
        if revision is not None and revision not in REVISIONS:
            raise self._misconfigured(
                f"it is at revision {revision}, which this version does not know: "
                "a newer wes-daemon has upgraded it; install that version here, too"
            )

    def _refuse(self, problems: Sequence[str]) -> None:
        if problems:
            raise self._misconfigured(problems[0] if len(problems) == 1 else "\n".join(["", *problems]))

    def _misconfigured(self, problem: str) -> StorageMisconfigured:
        return StorageMisconfigured(f"{describe_database(self._engine.url)}: {problem}")


def _revision_in(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()


def _missing_tables(connection: Connection) -> Iterator[str]:
    """Tables that do not exist, and columns of the daemon's tables that do not."""
    names = [*service_metadata.tables, *daemon_metadata.tables]
    found = inspect(connection).get_multi_columns(filter_names=names, kind=ObjectKind.ANY)
    columns = {name: {column["name"] for column in columns} for (_, name), columns in found.items()}
    for required in service_metadata.sorted_tables:
        if required.name not in columns:
            yield f"table {required.name} does not exist: start the WES service that creates it"
    for required in daemon_metadata.sorted_tables:
        missing = [column.name for column in required.columns if column.name not in columns.get(required.name, ())]
        if missing:
            yield f"table {required.name} lacks {', '.join(missing)}: restore it from a backup"


def _missing_privileges(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "postgresql":
        return
    checks = [_has_privilege(name, privilege) for name, privileges in _PRIVILEGES.items() for privilege in privileges]
    found = connection.execute(select(func.current_user().label("role"), *checks)).one()._mapping
    for name, privileges in _PRIVILEGES.items():
        missing = ", ".join(privilege for privilege in privileges if found[f"{privilege} on {name}"] is False)
        if missing:
            yield f"the role lacks {missing} on {name}: GRANT {missing} ON {name} TO {found['role']}"


def _has_privilege(name: str, privilege: str) -> Label[bool]:
    """Whether the role has the privilege on the table; NULL if there is no such table."""
    # Privileges may have been granted for single columns, except DELETE, which exists for tables only.
    function = func.has_table_privilege if privilege == "DELETE" else func.has_any_column_privilege
    return function(func.to_regclass(name), privilege).label(f"{privilege} on {name}")


def _config(output: StringIO | None = None, **attributes: object) -> "Config":
    from alembic.config import Config

    config = Config(output_buffer=output) if output is not None else Config()
    folder = Path(__file__).with_name("migrations")
    # Alembic parses options as configparser does, which interpolates `%`.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config
