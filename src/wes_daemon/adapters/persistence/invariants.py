"""The invariants as queries: the database itself looks for what breaks them, and gives the first few."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select

from wes_daemon.adapters.persistence.breaches import BREACHES
from wes_daemon.adapters.persistence.engine import reading
from wes_daemon.adapters.persistence.enrolment import names_a_provider_run
from wes_daemon.adapters.persistence.expressions import in_list, is_one_of
from wes_daemon.adapters.persistence.mapping import named_provider
from wes_daemon.adapters.persistence.tables import submissions, workflow_runs
from wes_daemon.application.ports.invariants import ACTIVE, ONE_RUN_EACH, RULES, Breach, Expected, Finding, Rule
from wes_daemon.domain.runs import PROVIDER_ID_TAG, PROVIDER_TYPE_TAG, ProviderType, RunId


class SqlInvariants:
    """`Invariants` on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check(self, expected: Expected) -> Sequence[Finding]:
        with reading(self._engine) as connection:
            return [_finding(connection, rule, expected) for rule in RULES]


def _finding(connection: Connection, rule: Rule, expected: Expected) -> Finding:
    rows = connection.execute(_first_of(BREACHES[rule](expected), expected.shown)).all()
    # The database can tell of submissions; tags may hold anything, and are read here.
    claimed = list(_claimed_by_tags(connection, expected.default_provider)) if rule is ONE_RUN_EACH else []
    # One transaction for all would keep SQLite from folding what is written meanwhile into its file.
    connection.rollback()
    first = sorted([*(_breach(rule, row._mapping) for row in rows), *claimed], key=lambda breach: breach.run_id)
    count = (rows[0].total if rows else 0) + len(claimed)
    return Finding(rule=rule, count=count, first=first[: expected.shown])


def _first_of(breaches: Select[Any], shown: int) -> Select[Any]:
    found = breaches.subquery()
    return select(found, func.count().over().label("total")).order_by(found.c.run_id).limit(shown)


def _breach(rule: Rule, row: Mapping[Any, Any]) -> Breach:
    return rule.breach(**{name: held for name, held in row.items() if name != "total"})


def _claimed_by_tags(connection: Connection, default: ProviderType) -> Iterator[Breach]:
    """Active rows that the daemon does not know and cannot adopt, because another run has what their tags name."""
    unknown = (
        select(workflow_runs.c.run_id, workflow_runs.c.tags)
        .outerjoin(submissions, submissions.c.run_id == workflow_runs.c.run_id)
        .where(
            is_one_of(workflow_runs.c.state, *ACTIVE),
            names_a_provider_run(),
            submissions.c.run_id.is_(None),
            workflow_runs.c.run_id.is_not(None),
        )
        .order_by(workflow_runs.c.run_id)
    )
    claims = [(row.run_id, held) for row in connection.execute(unknown) if (held := _named_in(row.tags, default))]
    owners = _owners(connection, [provider_run_id for _, (_, provider_run_id) in claims])
    for run_id, held in claims:
        provider, provider_run_id = held
        # It may be its own by now, where a daemon has adopted it since the first statement.
        other = owners.setdefault(held, run_id)
        if other != run_id:
            yield ONE_RUN_EACH.breach(RunId(run_id), provider=provider, provider_run_id=provider_run_id, other=other)


def _named_in(tags: object, default: ProviderType) -> tuple[str, str] | None:
    """The provider's run that the tags name, as far as the daemon would adopt it."""
    if not isinstance(tags, Mapping):
        return None
    id, provider = tags.get(PROVIDER_ID_TAG), named_provider(tags)
    if provider is None and tags.get(PROVIDER_TYPE_TAG) in (None, ""):
        provider = default
    return (provider, id) if provider is not None and isinstance(id, str) and id.strip() else None


def _owners(connection: Connection, provider_run_ids: Sequence[str]) -> dict[tuple[str, str], str]:
    held = (submissions.c.provider, submissions.c.provider_run_id, submissions.c.run_id)
    if not provider_run_ids:
        return {}
    rows = connection.execute(select(*held).where(in_list(submissions.c.provider_run_id, provider_run_ids)))
    return {(row.provider, row.provider_run_id): row.run_id for row in rows}
