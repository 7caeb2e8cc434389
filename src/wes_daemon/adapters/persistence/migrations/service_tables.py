"""What migrations do with the tables that a WES service may own: create them if they are missing, and index them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

# Tables of the service that are found in any schema of the search path are used. CREATE TABLE IF NOT EXISTS would
# search the first schema only, and create empty tables that hide the service's.
#
# A table `task_logs` that is created beside a service's `workflow_runs` refers to it without a foreign key: the
# service must be able to delete its rows. Its ids have the service's type.
_CREATE_IN_POSTGRESQL = """
DO $create$
DECLARE
    place text := quote_ident({schema});
    is_found boolean := to_regclass('workflow_runs') IS NOT NULL;
BEGIN
    IF NOT is_found THEN
        EXECUTE 'CREATE TABLE IF NOT EXISTS ' || place || $table$.{workflow_runs}$table$;
    END IF;
    IF to_regclass('task_logs') IS NULL THEN
        EXECUTE 'CREATE TABLE IF NOT EXISTS ' || place || $table$.{task_logs}$table$;
        IF is_found THEN
            EXECUTE 'ALTER TABLE task_logs ALTER run_id TYPE ' || (
                SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                WHERE attrelid = to_regclass('workflow_runs') AND attname = 'run_id'
            ) || ' USING NULL';
        ELSE
            ALTER TABLE task_logs ADD FOREIGN KEY (run_id) REFERENCES workflow_runs (run_id);
        END IF;
    END IF;
END
$create$
"""

# While an upgrade runs, the schema that DAEMON_SCHEMA names is the first one of the search path.
_FIRST_SCHEMA = "current_schema()"
_SECOND_SCHEMA = "coalesce((current_schemas(false))[2], current_schema())"

# A view has no indexes. Its triggers, or the table that it shows, belong to the service.
_INDEX_IN_POSTGRESQL = """
DO $index$
BEGIN
    {statement};
EXCEPTION WHEN wrong_object_type THEN
    RAISE NOTICE USING MESSAGE = 'wes-daemon uses no index of its own: ' || SQLERRM;
END
$index$
"""

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it


def create_missing(workflow_runs: sa.Table, task_logs: sa.Table) -> None:
    """Create those of the two tables that are not found.

    Args:
        task_logs: its column `run_id` has no foreign key; it gets one if both tables are created.
    """
    context = op.get_context()
    if context.dialect.name != "postgresql":
        _create_in_sqlite(workflow_runs, task_logs)
        return
    has_own_schema = context.opts.get("version_table_schema") is not None
    op.execute(
        _CREATE_IN_POSTGRESQL.format(
            schema=_SECOND_SCHEMA if has_own_schema else _FIRST_SCHEMA,
            workflow_runs=_definition(workflow_runs),
            task_logs=_definition(task_logs),
        )
    )


def create_index(name: str, table: str, columns: list[str], condition: str | None = None) -> None:
    """Create an index on a table of the service, if it does not exist and the service's table is no view."""
    where = None if condition is None else sa.text(condition)
    if op.get_context().dialect.name == "postgresql":
        described = sa.Table(table, sa.MetaData(), *(sa.Column(column, sa.Text) for column in columns))
        index = sa.Index(name, *described.c, postgresql_where=where)
        statement = CreateIndex(index, if_not_exists=True).compile(dialect=_POSTGRESQL)
        op.execute(_INDEX_IN_POSTGRESQL.format(statement=statement))
    elif not _is_view(table):
        op.create_index(name, table, columns, sqlite_where=where, if_not_exists=True)


def _definition(table: sa.Table) -> str:
    """The statement that creates the table, from the table's name on."""
    statement = str(CreateTable(table).compile(dialect=_POSTGRESQL)).strip()
    return statement.removeprefix("CREATE TABLE ")


def _create_in_sqlite(workflow_runs: sa.Table, task_logs: sa.Table) -> None:
    is_found = not op.get_context().as_sql and sa.inspect(op.get_bind()).has_table(workflow_runs.name)
    if not is_found:
        task_logs.append_constraint(sa.ForeignKeyConstraint(["run_id"], ["workflow_runs.run_id"]))
    for table in (workflow_runs, task_logs):
        op.execute(CreateTable(table, if_not_exists=True))


def _is_view(table: str) -> bool:
    return not op.get_context().as_sql and table in sa.inspect(op.get_bind()).get_view_names()
