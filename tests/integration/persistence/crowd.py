"""A database in which a great many runs have ended and some are under way, filled by the database itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine

from wes_daemon.adapters.persistence.transactions import writing

LONG_AGO = "2020-01-01T00:00:00.000000+00:00"
FAR_AWAY = "2099-01-01T00:00:00.000000+00:00"

# As long as they usually are: rows are read in pages, and what is narrow is cheaply read whole.
_PARAMS = '\'{"reads": "' + "s3://bucket/a/long/folder/" * 20 + "\"}'"

_COLUMNS: Mapping[str, str] = {
    "workflow_runs": "run_id, state, tags, workflow_params, workflow_type, workflow_type_version, workflow_url",
    "submissions": "run_id, provider, state, returns_to, owner, provider_run_id, not_before, claim_seq, attempts,"
    " enrolled_at, share",
    "polls": "run_id, provider, provider_run_id, known_state, next_check_at, poll_seq, details_failures,"
    " followed_since",
    "run_details": "run_id, outputs, provider_status",
    "run_events": "run_id, at, from_state, to_state, by, why",
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that are alike: `name-1`, `name-2`, and so on.

    Attributes:
        state: in the row.
        submission: how far their submission has come; None where the daemon does not know them.
        provider_id: what the names of their runs at the provider begin with; None where none has them.
        owner: the daemon that has claimed them.
        waits: whether their next attempt, or look, is far away.
    """

    name: str
    number: int
    state: str
    submission: str | None = None
    provider: str = "local"
    provider_id: str | None = None
    owner: str | None = None
    waits: bool = False

    @property
    def is_followed(self) -> bool:
        """Whether they are on the poll schedule."""
        return self.submission == "ACCEPTED"


ENDED: Sequence[Group] = (
    Group(name="done", number=20_000, state="COMPLETE", submission="CLOSED", provider_id="done"),
    Group(name="failed", number=10_000, state="EXECUTOR_ERROR", submission="CLOSED", provider_id="failed"),
    # Cancelled ones lie in a partial index with those that are being cancelled.
    Group(name="cancelled", number=70_000, state="CANCELED", submission="CLOSED", provider_id="cancelled"),
)

LIVE: Sequence[Group] = (
    # So many that a planner that sees nothing but costs would not go through all of them either.
    Group(name="held", number=40_000, state="RUNNING", submission="ACCEPTED", provider_id="held", waits=True),
    Group(name="backing-off", number=800, state="QUEUED", submission="READY", waits=True),
    Group(name="ready", number=100, state="QUEUED", submission="READY"),
    Group(name="new", number=100, state="QUEUED"),
    Group(name="unwanted", number=30, state="CANCELING", submission="READY"),
    Group(name="orphan", number=30, state="QUEUED", submission="INTENT", owner="daemon-dead"),
    Group(name="left", number=30, state="RUNNING", provider_id="left"),
    Group(name="cancelling", number=30, state="CANCELING", submission="ACCEPTED", provider_id="cancelling", waits=True),
    Group(name="reset", number=20, state="RUNNING", submission="CLOSED", provider_id="reset"),
)


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """All groups of a database."""

    ended: Sequence[Group]
    live: Sequence[Group]

    @property
    def most_rows(self) -> int:
        """How many rows each of a statement's ways to a table may touch: every run that is not over, and few more."""
        return sum(group.number for group in self.live) * 5 // 4

    def divided(self, by: int) -> "Crowd":
        """The same with so much smaller groups, where they are large."""
        return Crowd(
            ended=[replace(group, number=group.number // by) for group in self.ended],
            live=[replace(group, number=max(group.number // by, min(group.number, 800))) for group in self.live],
        )


def fill(engine: Engine, groups: Sequence[Group]) -> None:
    """Insert them."""
    with writing(engine) as connection:
        for group in groups:
            _put(connection, group)
        connection.commit()


def _put(connection: Connection, group: Group) -> None:
    # On SQLite a column for JSON holds text.
    json = "JSON" if connection.dialect.name == "postgresql" else "TEXT"
    _insert(connection, "workflow_runs", group, _row(group, json))
    if group.submission is not None:
        _insert(connection, "submissions", group, _submission(group))
        _insert(connection, "run_details", group, [_id(group), "'{\"answer\": 42}'", "'known'"])
        _insert(connection, "run_events", group, _event(group))
    if group.is_followed:
        _insert(connection, "polls", group, _poll(group))


def _insert(connection: Connection, table: str, group: Group, values: Sequence[str]) -> None:
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {group.number})"
    if connection.dialect.name == "postgresql":
        statement = f"INSERT INTO {table} ({_COLUMNS[table]}) {numbers} SELECT {', '.join(values)} FROM n"
    else:
        statement = f"{numbers} INSERT INTO {table} ({_COLUMNS[table]}) SELECT {', '.join(values)} FROM n"
    connection.exec_driver_sql(statement)


def _row(group: Group, json: str) -> Sequence[str]:
    held = f', "provider_id": "{group.provider_id}-\' || i || \'"' if group.provider_id else ""
    tags = f"""'{{"provider_type": "{group.provider}"{held}}}'"""
    return [
        _id(group),
        _text(group.state),
        f"CAST({tags} AS {json})",
        _PARAMS,
        "'CWL'",
        "'v1.2'",
        "'file:///workflows/echo.cwl'",
    ]


def _submission(group: Group) -> Sequence[str]:
    moment = FAR_AWAY if group.waits else LONG_AGO
    held = [_text(group.submission), _text(group.submission), _text(group.owner), _provider_id(group)]
    return [_id(group), _text(group.provider), *held, f"'{moment}'", "1", "0", f"'{LONG_AGO}'", "''"]


def _poll(group: Group) -> Sequence[str]:
    moments = f"'{FAR_AWAY if group.waits else LONG_AGO}'", f"'{LONG_AGO}'"
    known = [_text(group.provider), _provider_id(group), "'RUNNING'"]
    return [_id(group), *known, moments[0], "0", "0", moments[1]]


def _event(group: Group) -> Sequence[str]:
    return [_id(group), f"'{LONG_AGO}'", "'QUEUED'", _text(group.state), "'daemon'", "'it was so'"]


def _id(group: Group) -> str:
    return f"'{group.name}-' || i"


def _provider_id(group: Group) -> str:
    return f"'{group.provider_id}-' || i" if group.provider_id else "NULL"


def _text(value: str | None) -> str:
    return "NULL" if value is None else f"'{value}'"
