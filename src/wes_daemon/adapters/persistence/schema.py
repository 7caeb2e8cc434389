"""Whether the database is as the code needs it, and how it becomes so.

Alembic is imported where it is used: whoever only runs units of work does not pay for it.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, MetaData, Table, column, func, inspect, select, table
from sqlalchemy.engine.reflection import ObjectKind

from wes_daemon.adapters.persistence import locks
from wes_daemon.adapters.persistence.engine import reading, upgrading
from wes_daemon.adapters.persistence.errors import UPGRADE_COMMAND, described
from wes_daemon.adapters.persistence.tables import own, service
from wes_daemon.application.ports.errors import StorageMisconfigured

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "wes_daemon_alembic_version"
"""Not Alembic's usual name: a WES service in the same database may keep its own revision under that."""

_PRIVILEGES: Mapping[MetaData, Sequence[str]] = {
    service: ("SELECT", "INSERT", "UPDATE"),
    own: ("SELECT", "INSERT", "UPDATE", "DELETE"),
}

# Alembic keeps the upgrade that is under way in a variable of its module.
_one_upgrade_at_a_time = threading.Lock()


def upgrade_settings(dialect: str) -> Sequence[str]:
    """What is executed before the steps of an upgrade, in their transaction."""
    if dialect != "postgresql":
        return ()
    return (
        f"SELECT pg_advisory_xact_lock({locks.UPGRADING})",
        # Whoever waits for a table's lock lets everybody else wait behind it.
        "SET LOCAL lock_timeout = '30s'",
    )


REVISIONS = ("0004", "0003", "0002", "0001")
"""Those that this version knows, newest first. Alembic would tell, but takes long to load; a test compares them."""


class Schema:
    """The schema of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def current(self) -> str | None:
        """The revision that the database is at; None where nothing was ever done."""
        with reading(self._engine) as connection:
            return _revision_in(connection)

    def head(self) -> str:
        """The revision that this version of the package needs."""
        return REVISIONS[0]

    def upgrade(self) -> None:
        """Bring the database to `head`, wholly or not at all; another process may try the same at the same time.

        Raises:
            StorageMisconfigured: a table that is there cannot be used, a privilege is missing,
                or a newer version has been here; nothing was changed.
        """
        from alembic import command

        with _one_upgrade_at_a_time, upgrading(self._engine) as connection:
            for statement in upgrade_settings(self._engine.dialect.name):
                connection.exec_driver_sql(statement)
            self._refuse_newer(_revision_in(connection))
            self._require_columns(connection, service, unless_absent=True)
            command.upgrade(_config(connection=connection), "head")
            connection.commit()

    def upgrade_sql(self) -> str:
        """The statements that bring an empty database, or one of a WES service, to `head`; connects to nothing."""
        from alembic import command

        written = StringIO()
        with _one_upgrade_at_a_time:
            command.upgrade(_config(written, dialect=self._engine.dialect.name), "head", sql=True)
        return written.getvalue()

    def check(self) -> None:
        """Raise `StorageMisconfigured` unless the database can be worked with; the message says what would mend it."""
        with reading(self._engine) as connection:
            revision = _revision_in(connection)
            self._refuse_newer(revision)
            if revision != self.head():
                found = "was never prepared for the daemon" if revision is None else f"is at revision {revision}"
                raise self._misconfigured(f"it {found}, but {self.head()} is needed: run `{UPGRADE_COMMAND}`")
            for tables in (service, own):
                self._require_columns(connection, tables)
            self._require_privileges(connection)

    def _refuse_newer(self, revision: str | None) -> None:
        if revision is not None and revision not in REVISIONS:
            raise self._misconfigured(
                f"it is at revision {revision}, which this version does not know: "
                "a newer wes-daemon has upgraded it; install that version here, too"
            )

    def _require_columns(self, connection: Connection, tables: MetaData, *, unless_absent: bool = False) -> None:
        found = _columns_in(connection, tables)
        for wanted in tables.sorted_tables:
            if wanted.name not in found and unless_absent:
                continue
            missing = [held.name for held in wanted.columns if held.name not in found.get(wanted.name, ())]
            if missing:
                raise self._misconfigured(
                    f"table {wanted.name} lacks {', '.join(missing)}: add what is missing, "
                    "or give the daemon a schema or database in which the table is as it needs it"
                )

    def _require_privileges(self, connection: Connection) -> None:
        if connection.dialect.name != "postgresql":
            return
        asked = [_holds(wanted, privilege) for wanted, privilege in _wanted_privileges()]
        answers = connection.execute(select(*asked)).one()._mapping
        missing = [name for name, held in answers.items() if not held]
        if missing:
            raise self._misconfigured(f"the role lacks {', '.join(missing)}: grant that to it")

    def _misconfigured(self, problem: str) -> StorageMisconfigured:
        return StorageMisconfigured(f"{described(self._engine.url)}: {problem}")


def _revision_in(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()


def _columns_in(connection: Connection, tables: MetaData) -> Mapping[str, frozenset[str]]:
    names = [wanted.name for wanted in tables.sorted_tables]
    found = inspect(connection).get_multi_columns(filter_names=names, kind=ObjectKind.ANY)
    return {name: frozenset(held["name"] for held in columns) for (_, name), columns in found.items()}


def _wanted_privileges() -> Iterator[tuple[Table, str]]:
    for tables, privileges in _PRIVILEGES.items():
        for wanted in tables.sorted_tables:
            for privilege in privileges:
                yield wanted, privilege


def _holds(wanted: Table, privilege: str) -> Any:
    # A service may have granted single columns; whole rows are deleted or not.
    ask = func.has_table_privilege if privilege == "DELETE" else func.has_any_column_privilege
    return ask(wanted.name, privilege).label(f"{privilege} on {wanted.name}")


def _config(written: StringIO | None = None, **attributes: object) -> "Config":
    from alembic.config import Config

    config = Config(output_buffer=written) if written is not None else Config()
    folder = Path(__file__).with_name("migrations")
    # The file format that Alembic shares with configparser has a meaning for `%`.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config
