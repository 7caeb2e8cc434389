"""Which schema of a PostgreSQL database the tables are in, and where missing ones are created.

The service's tables are found through the search path of the connection. The daemon's tables stand in the first
schema of that path, or in the schema that DAEMON_SCHEMA names. SQLite has no schemas.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Engine, column, inspect, select, table, text
from sqlalchemy.dialects import postgresql

from wes_daemon.adapters.persistence.errors import describe_database
from wes_daemon.adapters.persistence.tables import daemon_metadata, service_metadata
from wes_daemon.application.ports.errors import StorageMisconfigured

VERSION_TABLE = "wes_daemon_alembic_version"
"""This is not Alembic's default name: a WES service in the same database may store its own revision under that name."""

_SCHEMA = "wes_daemon_schema"

_PREPARER = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it

# A name in the setting `search_path`: quoted, or folded to lower case.
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')
_USER = "$user"

_PATH = text("SELECT current_setting('search_path') AS setting, current_schemas(false)::text[] AS used")
_SCHEMAS = text(
    "SELECT nspname, has_schema_privilege(oid, 'USAGE') AS is_usable FROM pg_namespace WHERE nspname = ANY(:names)"
)
_OTHER_VERSION_TABLES = text(
    "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = :name AND relkind = 'r' ORDER BY 1"
)
_IS_PREPARED = text(
    "SELECT EXISTS (SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE indrelid = to_regclass('workflow_runs') AND relname LIKE 'wes\\_daemon\\_%')"
)
_PRIVILEGES = text(
    "SELECT current_user AS role, current_database() AS database,"
    " to_regnamespace(:quoted) IS NOT NULL AS exists,"
    " has_database_privilege(current_database(), 'CREATE') AS may_create_schemas"
)
_MAY_CREATE_TABLES = text("SELECT has_schema_privilege(:schema, 'USAGE') AND has_schema_privilege(:schema, 'CREATE')")
_UNREADABLE = text(
    "SELECT quote_ident(current_user) FROM pg_class WHERE relname = :name"
    " AND coalesce(relnamespace = to_regnamespace(:quoted), pg_table_is_visible(oid))"
    " AND has_schema_privilege(relnamespace, 'USAGE') AND NOT has_table_privilege(oid, 'SELECT')"
)
_HIDING = text("SELECT to_regclass(:inside) IS NOT NULL AND to_regclass(:inside) IS DISTINCT FROM to_regclass(:name)")
_NOT_ON_THE_PATH = text(
    "SELECT relnamespace::regnamespace::text FROM pg_class"
    " WHERE relname = :name AND relkind IN ('r', 'p', 'v') AND NOT pg_table_is_visible(oid) ORDER BY 1"
)
_FOUND_SERVICE_TABLE = text("SELECT to_regclass(:name) IS NOT NULL")


def keep_daemon_tables_in(engine: Engine, schema: str) -> None:
    """Let all statements of the engine name the daemon's tables with this schema.

    `schema_translate_map` would do the same, but it edits the text of each statement whenever it is executed.
    """
    if engine.dialect.name != "postgresql":
        raise StorageMisconfigured(
            f"{describe_database(engine.url)}: DAEMON_SCHEMA is set, but SQLite has no schemas: "
            "remove DAEMON_SCHEMA, or use PostgreSQL"
        )

    def schema_of(item: object) -> str | None:
        return schema if getattr(item, "metadata", None) is daemon_metadata else getattr(item, "schema", None)

    # SQLAlchemy declares the result as `str`, and returns None for a table without a schema.
    engine.dialect.identifier_preparer.schema_for_object = cast(Any, schema_of)
    engine.update_execution_options(**{_SCHEMA: schema})


def daemon_schema(engine: Engine | Connection) -> str | None:
    """The schema of the daemon's tables, if it has a name of its own."""
    schema: str | None = engine.get_execution_options().get(_SCHEMA)
    return schema


def described(engine: Engine) -> str:
    """The database for messages, with the schema of the daemon's tables if it has a name of its own."""
    schema = daemon_schema(engine)
    return describe_database(engine.url) + (f", schema {schema}" if schema else "")


def revision_in(connection: Connection) -> str | None:
    """The revision of the daemon's tables; None if they do not exist."""
    schema = daemon_schema(connection)
    if not inspect(connection).has_table(VERSION_TABLE, schema=schema):
        return None
    return connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE, schema=schema))).scalar()


def unreadable_revision(connection: Connection) -> str | None:
    """Which privilege is missing to read the revision; None if it can be read, or if there is none."""
    if connection.dialect.name != "postgresql":
        return None
    schema = daemon_schema(connection)
    quoted = _quoted(schema) if schema else None
    role = connection.execute(_UNREADABLE, {"name": VERSION_TABLE, "quoted": quoted}).scalar()
    if role is None:
        return None
    name = f"{quoted}.{VERSION_TABLE}" if quoted else VERSION_TABLE
    return f"the role lacks SELECT on {name}: GRANT SELECT ON {name} TO {role}"


def missing_service_tables(connection: Connection) -> Sequence[str]:
    """The tables of a WES service that are not found."""
    names = list(service_metadata.tables)
    if connection.dialect.name == "postgresql":
        return [name for name in names if not connection.execute(_FOUND_SERVICE_TABLE, {"name": name}).scalar()]
    found = inspect(connection)
    return [name for name in names if not found.has_table(name)]


def why_not_prepared(connection: Connection) -> str | None:
    """Why the daemon's tables are not found and must not be created; None if nothing forbids it."""
    if connection.dialect.name != "postgresql":
        return None
    return search_path_problem(connection) or _second_set_problem(connection)


def search_path_problem(connection: Connection) -> str | None:
    """What is wrong with the search path: PostgreSQL ignores schemas that do not exist or may not be used."""
    return _path_problem(connection) if connection.dialect.name == "postgresql" else None


def service_tables_off_the_path(connection: Connection, names: Sequence[str]) -> str | None:
    """In which schema these tables are if the search path does not lead to it; None if there is none."""
    if connection.dialect.name != "postgresql":
        return None
    for name in names:
        if schemas := connection.execute(_NOT_ON_THE_PATH, {"name": name}).scalars().all():
            return (
                f"{name} exists in the schema {' or '.join(schemas)}, to which the search path does not lead: "
                f"add ?options=-csearch_path%3D{schemas[0]} to the database URI if that is the service's table"
            )
    return None


def why_not_upgradable(connection: Connection) -> str | None:
    """Why an upgrade cannot use the schema that DAEMON_SCHEMA names; None if it can."""
    schema = daemon_schema(connection)
    if schema is None:
        return None
    return _privilege_problem(connection, schema) or _hiding_problem(connection, schema)


def enter_schema(schema: str) -> Sequence[str]:
    """The statements by which an upgrade creates its tables in this schema, until the end of the transaction."""
    quoted = _quoted(schema)
    return (
        # CREATE SCHEMA IF NOT EXISTS needs a privilege that may be missing even if the schema exists.
        f"DO $schema$ BEGIN IF to_regnamespace({_literal(quoted)}) IS NULL THEN CREATE SCHEMA {quoted}; END IF; "
        "END $schema$",
        "SELECT set_config('search_path', "
        f"concat_ws(', ', {_literal(quoted)}, nullif(current_setting('search_path'), '')), true)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _SearchPath:
    """The schemas that a search path names, and what the role may do with them."""

    named: Sequence[str]
    usable: Mapping[str, bool]
    used: Collection[str]

    @property
    def missing(self) -> Sequence[str]:
        """Schemas that do not exist."""
        return [name for name in self.named if name not in self.usable]

    @property
    def forbidden(self) -> Sequence[str]:
        """Schemas that the role may not use. PostgreSQL ignores them as it ignores missing ones."""
        return [name for name in self.named if not self.usable.get(name, True)]


def _search_path(connection: Connection) -> _SearchPath:
    path = connection.execute(_PATH).one()
    named = [name for name in _names_in(path.setting) if name != _USER and not _is_system(name)]
    found = connection.execute(_SCHEMAS, {"names": named})
    return _SearchPath(
        named=named,
        usable={row.nspname: row.is_usable for row in found},
        used=[name for name in path.used if not _is_system(name)],
    )


def _names_in(setting: str) -> Sequence[str]:
    return [
        name.lower() if name else quoted.replace('""', '"') for quoted, name in _NAME.findall(setting) if quoted or name
    ]


def _is_system(schema: str) -> bool:
    return schema.startswith("pg_")


def _path_problem(connection: Connection) -> str | None:
    path = _search_path(connection)
    if path.missing:
        statements = " ".join(f"CREATE SCHEMA {_quoted(name)};" for name in path.missing)
        return (
            f"the search path names schemas that do not exist: {', '.join(path.missing)}: "
            f"create them ({statements}) or correct search_path"
        )
    if path.forbidden:
        role = connection.execute(text("SELECT current_user")).scalar_one()
        schemas = ", ".join(_quoted(name) for name in path.forbidden)
        return (
            f"the role may not use schemas that the search path names: {', '.join(path.forbidden)}: "
            f"GRANT USAGE ON SCHEMA {schemas} TO {_quoted(role)}; or correct search_path"
        )
    if not path.used:
        return (
            "the search path names no schema that exists: "
            "name one, such as ?options=-csearch_path=public in the database URI"
        )
    return None


def _second_set_problem(connection: Connection) -> str | None:
    """Daemons with separate tables would start each run once for each set of tables."""
    others = connection.execute(_OTHER_VERSION_TABLES, {"name": VERSION_TABLE}).scalars().all()
    if not others or not connection.execute(_IS_PREPARED).scalar():
        return None
    return (
        f"a daemon with its own tables in the schema {' or '.join(others)} serves the same workflow_runs already: "
        f"set DAEMON_SCHEMA={others[0]}, or move those tables (docs/database.md, section Schemas)"
    )


def _privilege_problem(connection: Connection, schema: str) -> str | None:
    quoted = _quoted(schema)
    found = connection.execute(_PRIVILEGES, {"quoted": quoted}).one()
    role = _quoted(found.role)
    if found.exists:
        if connection.execute(_MAY_CREATE_TABLES, {"schema": schema}).scalar():
            return None
        return (
            f"the role may not create tables in the schema {schema}: GRANT USAGE, CREATE ON SCHEMA {quoted} TO {role};"
        )
    if found.may_create_schemas:
        return None
    return (
        f"the schema {schema} does not exist and the role may not create it: "
        f"CREATE SCHEMA {quoted} AUTHORIZATION {role};"
    )


def _hiding_problem(connection: Connection, schema: str) -> str | None:
    for name in service_metadata.tables:
        inside = f"{_quoted(schema)}.{name}"
        if connection.execute(_HIDING, {"inside": inside, "name": name}).scalar():
            return (
                f"the schema {schema}, which DAEMON_SCHEMA names, has a table {name} that the search path "
                f"does not lead to: add {schema} to search_path if the service's rows are in it, else drop it "
                f"(DROP TABLE {inside};)"
            )
    return None


def _quoted(name: str) -> str:
    return _PREPARER.quote(name)


def _literal(value: str) -> str:
    return "'{}'".format(value.replace("'", "''"))
