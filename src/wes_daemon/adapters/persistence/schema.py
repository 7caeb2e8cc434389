"""Checks and upgrades the schema of a database.

Alembic is imported in the functions that use it, so that units of work start without loading it.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Label, MetaData, Table, column, func, inspect, select, table
from sqlalchemy.engine.reflection import ObjectKind

from wes_daemon.adapters.persistence import service_objects
from wes_daemon.adapters.persistence.errors import UPGRADE_COMMAND, describe_database
from wes_daemon.adapters.persistence.tables import daemon_metadata, service_metadata
from wes_daemon.adapters.persistence.transactions import SCHEMA_LOCK, reading, upgrading
from wes_daemon.application.ports.errors import StorageMisconfigured

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "wes_daemon_alembic_version"
"""This is not Alembic's default name: a WES service in the same database may store its own revision under that name."""

REVISIONS = ("0005", "0004", "0003", "0002", "0001")
"""The revisions that this version knows, newest first. A list, since Alembic takes long to load; a test compares it."""

_PRIVILEGES: Mapping[MetaData, Sequence[str]] = {
    service_metadata: ("SELECT", "INSERT", "UPDATE"),
    daemon_metadata: ("SELECT", "INSERT", "UPDATE", "DELETE"),
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
            found = _columns_in(connection, service_metadata)
            self._require_columns([table for table in service_metadata.sorted_tables if table.name in found], found)
            command.upgrade(_config(connection=connection), "head")
            # A service may have removed them since the revision was reached.
            service_objects.create_missing(connection)
            connection.commit()

    def missing_objects(self) -> Sequence[str]:
        """The names of the daemon's indexes and triggers that the service's tables lack; `upgrade` creates them.

        If they are still missing after an upgrade, the role may not create them.
        """
        with reading(self._engine) as connection:
            return service_objects.missing(connection)

    def upgrade_sql(self) -> str:
        """The statements that upgrade an empty database, or a WES service's, to `head`, without a connection."""
        from alembic import command

        statements = StringIO()
        with _alembic_lock:
            command.upgrade(_config(statements, dialect=self._engine.dialect.name), "head", sql=True)
        return statements.getvalue()

    def check(self) -> None:
        """Check the revision, the columns and the privileges.

        Raises:
            StorageMisconfigured: the daemon cannot work with the database. The message says what fixes it.
        """
        with reading(self._engine) as connection:
            revision = _revision_in(connection)
            self._refuse_newer(revision)
            if revision != self.head():
                found = "was never prepared for the daemon" if revision is None else f"is at revision {revision}"
                raise self._misconfigured(f"it {found}, but {self.head()} is needed: run `{UPGRADE_COMMAND}`")
            for metadata in (service_metadata, daemon_metadata):
                self._require_columns(metadata.sorted_tables, _columns_in(connection, metadata))
            self._require_privileges(connection)

    def _refuse_newer(self, revision: str | None) -> None:
        if revision is not None and revision not in REVISIONS:
            raise self._misconfigured(
                f"it is at revision {revision}, which this version does not know: "
                "a newer wes-daemon has upgraded it; install that version here, too"
            )

    def _require_columns(self, tables: Iterable[Table], found: Mapping[str, frozenset[str]]) -> None:
        for required in tables:
            missing = [column.name for column in required.columns if column.name not in found.get(required.name, ())]
            if missing:
                raise self._misconfigured(
                    f"table {required.name} lacks {', '.join(missing)}: add the missing columns, "
                    "or use a schema or database for the daemon in which the table has them"
                )

    def _require_privileges(self, connection: Connection) -> None:
        if connection.dialect.name != "postgresql":
            return
        checks = [_has_privilege(table, privilege) for table, privilege in _required_privileges()]
        results = connection.execute(select(*checks)).one()._mapping
        missing = [name for name, is_granted in results.items() if not is_granted]
        if missing:
            raise self._misconfigured(f"the role lacks {', '.join(missing)}: grant it these privileges")

    def _misconfigured(self, problem: str) -> StorageMisconfigured:
        return StorageMisconfigured(f"{describe_database(self._engine.url)}: {problem}")


def _revision_in(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()


def _columns_in(connection: Connection, metadata: MetaData) -> Mapping[str, frozenset[str]]:
    """The columns of those tables that exist, by the name of the table."""
    names = [table.name for table in metadata.sorted_tables]
    found = inspect(connection).get_multi_columns(filter_names=names, kind=ObjectKind.ANY)
    return {name: frozenset(column["name"] for column in columns) for (_, name), columns in found.items()}


def _required_privileges() -> Iterator[tuple[Table, str]]:
    for metadata, privileges in _PRIVILEGES.items():
        for required in metadata.sorted_tables:
            for privilege in privileges:
                yield required, privilege


def _has_privilege(required: Table, privilege: str) -> Label[bool]:
    # Privileges may have been granted for single columns, except DELETE, which exists for tables only.
    function = func.has_table_privilege if privilege == "DELETE" else func.has_any_column_privilege
    return function(required.name, privilege).label(f"{privilege} on {required.name}")


def _config(output: StringIO | None = None, **attributes: object) -> "Config":
    from alembic.config import Config

    config = Config(output_buffer=output) if output is not None else Config()
    folder = Path(__file__).with_name("migrations")
    # Alembic parses options as configparser does, which interpolates `%`.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config
