"""Rows for measurements: queued, active or ended runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, text

from benchmarks.databases import engine_on
from wes_daemon.adapters.persistence.tables import workflow_runs
from wes_daemon.adapters.persistence.types import UtcTime
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import RunState

REQUEST: Mapping[str, object] = {
    "workflow_type": "CWL",
    "workflow_type_version": "v1.2",
    "workflow_url": "https://example.org/workflows/align-and-call-variants.cwl",
    "workflow_params": {
        "sample": "NA12878",
        "reads": [f"s3://sequencing-results/project-17/NA12878_L00{lane}_R1.fastq.gz" for lane in (1, 2)],
        "reference": "s3://references/GRCh38/GRCh38.primary.fa",
    },
}
"""A request of about 400 bytes."""

_PAGE = 1_000

_ENDED_RUNS = """
INSERT INTO workflow_runs (run_id, state, workflow_params, workflow_type, workflow_type_version, workflow_url, tags)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :number)
SELECT 'ended-' || n, 'COMPLETE', {params}, 'CWL', 'v1.2', 'https://example.org/workflows/align.cwl', {tags}
FROM numbers
"""
_PARAMS = """'{"sample": "NA12878", "reference": "s3://references/GRCh38/GRCh38.primary.fa", "lanes": ' || n || '}'"""
_TAGS = """'{"provider_type": "sevenbridges", "provider_id": "task-' || n || '"}'"""
_ENDED_SUBMISSIONS = """
INSERT INTO submissions
    (run_id, provider, state, returns_to, claim_seq, not_before, attempts, provider_run_id, enrolled_at)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :number)
SELECT 'ended-' || n, 'sevenbridges', 'CLOSED', 'INTENT', 1, {now}, 0, 'task-' || n, {now} FROM numbers
"""

_ACTIVE = """
FROM unnest(CAST(:runs AS text[]), CAST(:ids AS text[]), CAST(:states AS text[]), CAST(:statuses AS text[]))
    AS active (run, id, state, status)
"""
_ACTIVE_RUNS = f"""
INSERT INTO workflow_runs (run_id, state, workflow_params, workflow_type, workflow_type_version, workflow_url, tags)
SELECT run, state, '{{"sample": "NA12878"}}', 'CWL', 'v1.2', 'https://example.org/workflows/align.cwl',
    json_build_object('provider_type', CAST(:provider AS text), 'provider_id', id) {_ACTIVE}
"""
_ACTIVE_SUBMISSIONS = f"""
INSERT INTO submissions
    (run_id, provider, state, returns_to, claim_seq, not_before, attempts, provider_run_id, enrolled_at)
SELECT run, :provider, 'ACCEPTED', 'INTENT', 1, :since, 0, id, :since {_ACTIVE}
"""
_ACTIVE_POLLS = f"""
INSERT INTO polls
    (run_id, provider, provider_run_id, next_check_at, poll_seq, known_state, known_status, details_failures,
    followed_since)
SELECT run, :provider, id, :since, 0, state, status, 0, :since {_ACTIVE}
"""
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """An active run at a provider.

    Attributes:
        provider_run_id: in the form of the provider's adapter.
        status: the provider status.
    """

    provider_run_id: str
    state: RunState
    status: str


def queue_runs(uri: str, number: int, *, provider: ProviderType | None = None, **changes: object) -> Sequence[str]:
    """Queue `number` runs as a service does, and return their ids; `changes` replace columns of the request."""
    prefix = provider or "run"
    ids = [f"{prefix}-{n:06}" for n in range(number)]
    tags = {"project": "genomes", **({"provider_type": str(provider)} if provider else {})}
    rows = [{"run_id": id, "state": RunState.QUEUED, "tags": tags, **REQUEST, **changes} for id in ids]
    with engine_on(uri) as engine:
        for begin in range(0, number, _PAGE):
            with engine.begin() as connection:
                connection.execute(workflow_runs.insert(), rows[begin : begin + _PAGE])
    return ids


def add_ended(uri: str, number: int) -> None:
    """Insert `number` ended runs whose submissions are closed."""
    with engine_on(uri) as engine:
        with engine.begin() as connection:
            _execute(connection, _ENDED_RUNS, number=number)
            _execute(connection, _ENDED_SUBMISSIONS, number=number)
        _analyze(uri)


def add_active(uri: str, provider: ProviderType, runs: Sequence[ActiveRun]) -> None:
    """Insert runs that a provider accepted yesterday and that are due, into a PostgreSQL database."""
    values = {
        "provider": str(provider),
        "ids": [each.provider_run_id for each in runs],
        "runs": [f"active-{provider}-{n:06}" for n in range(len(runs))],
        "states": [str(each.state) for each in runs],
        "statuses": [each.status for each in runs],
        "since": datetime.now(UTC) - _A_DAY,
    }
    with engine_on(uri) as engine:
        with engine.begin() as connection:
            for statement in (_ACTIVE_RUNS, _ACTIVE_SUBMISSIONS, _ACTIVE_POLLS):
                connection.execute(text(statement), values)
        _analyze(uri)


def count(uri: str, statement: str) -> int:
    """Return the result of a query for one number."""
    with engine_on(uri) as engine, engine.connect() as connection:
        return int(connection.execute(text(statement)).scalar_one())


def _execute(connection: Connection, statement: str, **values: object) -> None:
    # SQLite converts a text that is cast to JSON into a number; PostgreSQL accepts no text for json.
    as_json = "{}" if connection.dialect.name == "sqlite" else "CAST({} AS json)"
    written = statement.format(params=as_json.format(_PARAMS), tags=as_json.format(_TAGS), now=":now")
    prepared = text(written)
    if ":now" in written:
        prepared = prepared.bindparams(bindparam("now", datetime.now(UTC) - _A_DAY, type_=UtcTime()))
    connection.execute(prepared, values)


def _analyze(uri: str) -> None:
    """Collect statistics, as the database itself does after a while."""
    with engine_on(uri) as engine, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if connection.dialect.name == "sqlite" else "VACUUM ANALYZE"))
