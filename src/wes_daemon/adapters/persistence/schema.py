"""Checks and upgrades the schema of a database.

Alembic is imported in the functions that use it, so that units of work start without loading it.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg2.errors import InsufficientPrivilege
from sqlalchemy import Connection, Engine, Label, Table, func, inspect, select, text
from sqlalchemy.engine.reflection import ObjectKind

from wes_daemon.adapters.persistence import location, service_objects
from wes_daemon.adapters.persistence.errors import UPGRADE_COMMAND
from wes_daemon.adapters.persistence.keys import RUN_KEY_TYPES, RunKeyType, run_key_type
from wes_daemon.adapters.persistence.relations import recognise, relations_of
from wes_daemon.adapters.persistence.service_tables import judge
from wes_daemon.adapters.persistence.tables import daemon_metadata, task_logs, workflow_runs
from wes_daemon.adapters.persistence.transactions import SCHEMA_LOCK, reading, upgrading
from wes_daemon.application.ports.errors import ServiceTablesMissing, StorageMisconfigured, StorageRefused

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS = ("0006", "0005", "0004", "0003", "0002", "0001")
"""The revisions that this version knows, newest first. A list, since Alembic takes long to load; a test compares it."""

# Only `submit` and other programs that create runs insert into `workflow_runs`.
_PRIVILEGES: Mapping[Table, Sequence[str]] = {
    workflow_runs: ("SELECT", "UPDATE"),
    task_logs: ("SELECT", "INSERT", "UPDATE"),
    **dict.fromkeys(daemon_metadata.sorted_tables, ("SELECT", "INSERT", "UPDATE", "DELETE")),
}

_TYPES_OF_RUN_IDS = text(
    """
    SELECT name, t.typname AS type FROM unnest(CAST(:names AS text[])) AS name
    JOIN pg_attribute a ON a.attrelid = to_regclass(name) AND a.attname = 'run_id' JOIN pg_type t ON t.oid = a.atttypid
    """
)

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
    """The schema of one database.

    Args:
        creates_service_tables: an upgrade creates `workflow_runs` and `task_logs` if they are missing.
            If False, they belong to a service, which creates them.
    """

    def __init__(self, engine: Engine, *, creates_service_tables: bool = True) -> None:
        self._engine = engine
        self._creates_service_tables = creates_service_tables

    def current(self) -> str | None:
        """The database's revision; None if it was never upgraded."""
        with reading(self._engine) as connection:
            self._require_readable_revision(connection)
            return location.revision_in(connection)

    def head(self) -> str:
        """The revision that this version of the package needs."""
        return REVISIONS[0]

    def upgrade(self) -> None:
        """Upgrade the database to `head` in one transaction; other processes may upgrade it at the same time.

        Raises:
            ServiceTablesMissing: the tables that a service creates do not exist yet. Nothing was changed.
            StorageMisconfigured: an existing table cannot be used, a privilege is missing,
                or a newer version has upgraded the database. Nothing was changed.
        """
        with _alembic_lock, upgrading(self._engine) as connection:
            for statement in upgrade_settings(self._engine.dialect.name):
                connection.exec_driver_sql(statement)
            self._require_upgradable(connection)
            self._refuse(judge(connection).problems)
            with self._explaining_ownership():
                self._migrate(connection)
            # A service may have removed them since the revision was reached.
            service_objects.create_missing(connection)
            recognise(connection)
            _adapt_run_ids(connection)
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
            command.upgrade(self._config(statements, dialect=self._engine.dialect.name), "head", sql=True)
        return statements.getvalue()

    def check(self) -> None:
        """Check the revision, the columns and the privileges.

        Raises:
            ServiceTablesMissing: the tables that a service creates do not exist yet.
            StorageMisconfigured: the daemon cannot work with the database. The message says what fixes it.
        """
        with reading(self._engine) as connection:
            self._require_readable_revision(connection)
            self._require_head(connection)
            recognise(connection)
            problems = [judge(connection).problems, _missing_tables(connection), _missing_privileges(connection)]
            self._refuse([problem for found in problems for problem in found])
            if tables := _other_run_ids(connection):
                raise self._misconfigured(
                    f"run_id in {', '.join(tables)} has not the type of workflow_runs.run_id: run `{UPGRADE_COMMAND}`"
                )

    def limits(self) -> Sequence[str]:
        """What works only in part with the tables of this service, each with the SQL that fixes it."""
        with reading(self._engine) as connection:
            return judge(connection).limits

    def require_head(self) -> None:
        """Check the revision only, for programs that may have fewer privileges than the daemon.

        Raises:
            ServiceTablesMissing: the tables that a service creates do not exist yet.
            StorageMisconfigured: the database was never prepared, or needs an upgrade, or is newer than this version.
        """
        with reading(self._engine) as connection:
            self._require_head(connection)

    def _require_head(self, connection: Connection) -> None:
        if problem := location.unreadable_revision(connection):
            raise self._misconfigured(problem)
        revision = location.revision_in(connection)
        self._refuse_newer(revision)
        self._require_service_tables(connection)
        if revision is None:
            reason = location.why_not_prepared(connection) or (
                f"it was never prepared for the daemon: run `{UPGRADE_COMMAND}`"
            )
            raise self._misconfigured(reason)
        if revision != self.head():
            raise self._misconfigured(
                f"it is at revision {revision}, but {self.head()} is needed: run `{UPGRADE_COMMAND}`; "
                "daemons of the previous version may continue to run meanwhile"
            )

    def _require_readable_revision(self, connection: Connection) -> None:
        """Name all privileges that are missing if not even the revision can be read."""
        if problem := location.unreadable_revision(connection):
            self._refuse([problem, *_missing_privileges(connection)])

    def _require_upgradable(self, connection: Connection) -> None:
        self._require_readable_revision(connection)
        revision = location.revision_in(connection)
        self._refuse_newer(revision)
        # First, because the service may also create the schemas that the search path names.
        self._require_service_tables(connection)
        problem = location.why_not_prepared(connection) if revision is None else None
        if revision != self.head():
            problem = problem or location.why_not_upgradable(connection)
        if problem:
            raise self._misconfigured(problem)

    def _require_service_tables(self, connection: Connection) -> None:
        if self._creates_service_tables:
            return
        if missing := location.missing_service_tables(connection):
            problem = location.search_path_problem(connection)
            problem = problem or location.service_tables_off_the_path(connection, missing)
            raise ServiceTablesMissing(
                f"{location.described(self._engine)}: {' and '.join(missing)} do not exist yet, and "
                "DAEMON_SERVICE_TABLES=wait says that a service creates them: run the service's migration"
                + (f"; {problem}" if problem else "")
            )

    def _refuse_newer(self, revision: str | None) -> None:
        if revision is not None and revision not in REVISIONS:
            raise self._misconfigured(
                f"it is at revision {revision}, which this version does not know: "
                "a newer wes-daemon has upgraded it; install that version here, too"
            )

    def _refuse(self, problems: Sequence[str]) -> None:
        if problems:
            raise self._misconfigured(problems[0] if len(problems) == 1 else "\n".join(["", *problems]))

    def _migrate(self, connection: Connection) -> None:
        from alembic import command

        schema = location.daemon_schema(self._engine)
        for statement in location.enter_schema(schema) if schema else ():
            connection.exec_driver_sql(statement)
        command.upgrade(self._config(connection=connection), "head")

    @contextmanager
    def _explaining_ownership(self) -> Iterator[None]:
        try:
            yield
        except StorageRefused as error:
            # Indexes and triggers are created within functions, whose errors count as those of a row.
            if not isinstance(error.__cause__, InsufficientPrivilege):
                raise
            raise StorageMisconfigured(
                f"{error}: run `{UPGRADE_COMMAND}` once as the owner of the service's tables; "
                "the daemon itself may connect as another role"
            ) from error

    def _config(self, output: StringIO | None = None, **attributes: object) -> "Config":
        return migrations_config(
            output,
            daemon_schema=location.daemon_schema(self._engine),
            creates_service_tables=self._creates_service_tables,
            **attributes,
        )

    def _misconfigured(self, problem: str) -> StorageMisconfigured:
        return StorageMisconfigured(f"{location.described(self._engine)}: {problem}")


def _other_run_ids(connection: Connection) -> Sequence[str]:
    """The daemon's tables in which the ids of runs are not of the service's type."""
    if connection.dialect.name != "postgresql":
        return ()
    format_table, wanted = connection.dialect.identifier_preparer.format_table, run_key_type(connection.dialect)
    names = [format_table(table) for table in daemon_metadata.sorted_tables if "run_id" in table.columns]
    found = connection.execute(_TYPES_OF_RUN_IDS, {"names": names})
    return [row.name for row in found if RUN_KEY_TYPES.get(row.type) is not wanted]


def _adapt_run_ids(connection: Connection) -> None:
    """Give the ids of runs in the daemon's tables the service's type."""
    if not (names := _other_run_ids(connection)):
        return
    wanted: str = run_key_type(connection.dialect)
    if wanted == RunKeyType.CHAR:
        wanted = f"char({relations_of(connection.dialect).lengths['workflow_runs.run_id']})"
    for name in names:
        connection.exec_driver_sql(
            f"ALTER TABLE {name} ALTER COLUMN run_id TYPE {wanted} USING CAST(CAST(run_id AS text) AS {wanted})"
        )


def _missing_tables(connection: Connection) -> Iterator[str]:
    """Tables that do not exist, and columns of the daemon's tables that do not."""
    for name in location.missing_service_tables(connection):
        yield f"table {name} does not exist: run the migration of the service that creates it"
    names, schema = list(daemon_metadata.tables), location.daemon_schema(connection)
    found = inspect(connection).get_multi_columns(schema, filter_names=names, kind=ObjectKind.ANY)
    columns = {name: {column["name"] for column in columns} for (_, name), columns in found.items()}
    for required in daemon_metadata.sorted_tables:
        missing = [column.name for column in required.columns if column.name not in columns.get(required.name, ())]
        if missing:
            yield f"table {required.name} lacks {', '.join(missing)}: restore it from a backup"


def _missing_privileges(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "postgresql":
        return
    names = {table: connection.dialect.identifier_preparer.format_table(table) for table in _PRIVILEGES}
    checks = [_has_privilege(names[table], each) for table, privileges in _PRIVILEGES.items() for each in privileges]
    found = connection.execute(select(func.quote_ident(func.current_user()).label("role"), *checks)).one()._mapping
    for table, privileges in _PRIVILEGES.items():
        missing = ", ".join(each for each in privileges if found[f"{each} on {names[table]}"] is False)
        if missing:
            yield f"the role lacks {missing} on {names[table]}: GRANT {missing} ON {names[table]} TO {found['role']}"


def _has_privilege(name: str, privilege: str) -> Label[bool]:
    """Whether the role has the privilege on the table; NULL if there is no such table."""
    # Privileges may have been granted for single columns, except DELETE, which exists for tables only.
    function = func.has_table_privilege if privilege == "DELETE" else func.has_any_column_privilege
    return function(func.to_regclass(name), privilege).label(f"{privilege} on {name}")


def migrations_config(output: StringIO | None = None, **attributes: object) -> "Config":
    """Alembic's configuration; `migrations/env.py` reads the attributes."""
    from alembic.config import Config

    config = Config(output_buffer=output) if output is not None else Config()
    folder = Path(__file__).with_name("migrations")
    # Alembic parses options as configparser does, which interpolates `%`.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config
