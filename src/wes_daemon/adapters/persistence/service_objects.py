"""The indexes and triggers of the daemon on the tables of a WES service.

The migrations create them. A service that drops and creates its table, or whose own migration drops what it does not
know, removes them. The daemon works without them, by polling, and slower: each pass then reads the whole table.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from wes_daemon.domain.states import ENDED

_RUNS, _TASKS = "workflow_runs", "task_logs"

_ENDED = ", ".join(f"'{state}'" for state in sorted(ENDED))
_WAS_ACTIVE = f"coalesce(OLD.state::text, '') NOT IN ({_ENDED})"
_BY_OTHERS = "current_setting('wes_daemon.writes', true) IS DISTINCT FROM 'on'"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceObject:
    """An index or a trigger on a table that a service may own.

    Attributes:
        definition: what follows the name in its CREATE statement.
    """

    kind: str
    name: str
    table: str
    definition: str

    @property
    def statement(self) -> str:
        """The statement that creates it."""
        return f"CREATE {self.kind} {self.name} {self.definition}"


def _index(name: str, condition: str) -> ServiceObject:
    definition = f"ON {_RUNS} (run_id) WHERE {condition}"
    return ServiceObject(kind="INDEX", name=f"wes_daemon_runs_{name}", table=_RUNS, definition=definition)


def _trigger(name: str, event: str) -> ServiceObject:
    definition = f"AFTER {event} EXECUTE FUNCTION wes_daemon_announce()"
    return ServiceObject(kind="TRIGGER", name=f"wes_daemon_{name}", table=_RUNS, definition=definition)


INDEXES: Sequence[ServiceObject] = (
    # The queries write the same states in the same order: SQLite compares the conditions as text.
    _index("queued", "state = 'QUEUED'"),
    _index("active", "state IN ('INITIALIZING', 'RUNNING', 'PAUSED')"),
    _index("cancelled", "state IN ('CANCELING', 'CANCELED')"),
    _index("cancelling", "state = 'CANCELING'"),
    _index("unknown", "state = 'UNKNOWN'"),
    ServiceObject(kind="INDEX", name="wes_daemon_task_logs_run", table=_TASKS, definition=f"ON {_TASKS} (run_id)"),
)

TRIGGERS: Sequence[ServiceObject] = (
    # A statement that inserts many rows sends one notification.
    _trigger("inserted", f"INSERT ON {_RUNS} FOR EACH STATEMENT"),
    _trigger(
        "changed",
        f"UPDATE OF state ON {_RUNS} FOR EACH ROW"
        " WHEN (NEW.state::text IN ('QUEUED', 'CANCELING') AND OLD.state IS DISTINCT FROM NEW.state)",
    ),
    # The daemon ends each run, too, and that is no reason to search for runs that a service has ended.
    _trigger(
        "ended",
        f"UPDATE OF state ON {_RUNS} FOR EACH ROW"
        f" WHEN (NEW.state::text IN ({_ENDED}) AND {_WAS_ACTIVE} AND {_BY_OTHERS})",
    ),
    _trigger("deleted", f"DELETE ON {_RUNS} FOR EACH ROW WHEN ({_WAS_ACTIVE})"),
)
"""On PostgreSQL only. They read no table, so that no statement of a service can fail because of them."""

TRIGGERS_OF_PARTITIONED: Sequence[ServiceObject] = (
    # A row that changes its partition fires the row triggers for DELETE and INSERT, and no trigger for UPDATE.
    _trigger("moved", f"INSERT ON {_RUNS} FOR EACH ROW WHEN (NEW.state::text IN ('QUEUED', 'CANCELING', 'CANCELED'))"),
)
"""On PostgreSQL, if `workflow_runs` is partitioned."""

# The caller may not own the table, and a view can have neither.
_CREATE = """
DO $create$
BEGIN
    IF to_regprocedure('wes_daemon_announce()') IS NULL THEN
        CREATE FUNCTION wes_daemon_announce() RETURNS trigger LANGUAGE plpgsql AS $announce$
        BEGIN
            NOTIFY wes_daemon_runs;
            RETURN NULL;
        END
        $announce$;
    END IF;
    {statement};
EXCEPTION WHEN insufficient_privilege OR wrong_object_type OR duplicate_table OR duplicate_object THEN
    RAISE WARNING USING MESSAGE = 'wes-daemon cannot create {name}: ' || SQLERRM;
END
$create$
"""

_FOUND_IN_POSTGRESQL = """
SELECT index.relname FROM pg_index JOIN pg_class AS index ON index.oid = pg_index.indexrelid
WHERE pg_index.indrelid = to_regclass(:name)
UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(:name)
"""
_FOUND_IN_SQLITE = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = :name"

_KIND_IN_POSTGRESQL = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(:name)"
_KIND_IN_SQLITE = "SELECT type FROM sqlite_master WHERE name = :name AND type IN ('table', 'view')"
_TABLES, _PARTITIONED = ("r", "p", "table"), "p"


def missing(connection: Connection) -> Sequence[str]:
    """Return the names of the indexes and triggers that the tables lack; a view can have none and lacks none."""
    return [each.name for each in _missing(connection)]


def create_missing(connection: Connection) -> None:
    """Create what is missing, as far as the role may do so: `missing` tells what is still missing afterwards."""
    for each in _missing(connection):
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(_CREATE.format(statement=each.statement, name=each.name))
        else:
            connection.exec_driver_sql(each.statement)


def _missing(connection: Connection) -> Sequence[ServiceObject]:
    kinds = {table: _kind_of(connection, table) for table in (_RUNS, _TASKS)}
    required = [*INDEXES]
    if connection.dialect.name == "postgresql":
        required += [*TRIGGERS, *(TRIGGERS_OF_PARTITIONED if kinds[_RUNS] == _PARTITIONED else ())]
    found = {table: _found_on(connection, table) for table, kind in kinds.items() if kind in _TABLES}
    return [each for each in required if each.table in found and each.name not in found[each.table]]


def _found_on(connection: Connection, table: str) -> Collection[str]:
    query = _FOUND_IN_POSTGRESQL if connection.dialect.name == "postgresql" else _FOUND_IN_SQLITE
    return frozenset(connection.execute(text(query), {"name": table}).scalars())


def _kind_of(connection: Connection, name: str) -> str | None:
    query = _KIND_IN_POSTGRESQL if connection.dialect.name == "postgresql" else _KIND_IN_SQLITE
    kind: str | None = connection.execute(text(query), {"name": name}).scalar()
    return kind
