"""The checks that read the tags of rows. Tags may hold any value, so this process parses them and not the database."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from wes_daemon.adapters.persistence.enrolment import names_a_provider_run
from wes_daemon.adapters.persistence.expressions import in_list, is_one_of
from wes_daemon.adapters.persistence.mapping import run_summary_from, select_new_runs
from wes_daemon.adapters.persistence.tables import submissions, workflow_runs
from wes_daemon.application.ports import checks
from wes_daemon.application.ports.checks import Check, CheckContext, Violation
from wes_daemon.domain.runs import PROVIDER_ID_TAG, RunSummary
from wes_daemon.domain.states import ACTIVE, RunState

_UNFINISHED = (*ACTIVE, RunState.UNKNOWN)


def _named_twice(connection: Connection, context: CheckContext) -> Iterator[Violation]:
    """Active rows that are not enrolled and whose tags name a provider run that another run has."""
    runs = map(run_summary_from, connection.execute(_naming_a_provider_run(ACTIVE)))
    named = [(run.id, names) for run in runs if (names := _named_in(run, context))]
    run_ids = _recorded_run_ids(connection, [provider_run_id for _, (_, provider_run_id) in named])
    for run_id, names in named:
        provider, provider_run_id = names
        # If a daemon has adopted the run since the first statement, `other` is the run itself.
        other = run_ids.setdefault(names, run_id)
        if other != run_id:
            yield checks.PROVIDER_RUN_IS_UNIQUE.violation(
                run_id, provider=provider, provider_run_id=provider_run_id, other=other
            )


def _named_in_vain(connection: Connection, context: CheckContext) -> Iterator[Violation]:
    """Active rows that are not enrolled, and whose tags name a provider run that no daemon can follow."""
    for run in map(run_summary_from, connection.execute(_naming_a_provider_run(_UNFINISHED))):
        if _named_in(run, context) is None:
            yield checks.RUN_IS_EXPLAINED.violation(run.id, state=run.state)


def _naming_a_provider_run(states: Sequence[RunState]) -> Select[Any]:
    """Rows in these states that are not enrolled and whose tags may name a provider run."""
    return (
        select_new_runs()
        .where(is_one_of(workflow_runs.c.state, *states), names_a_provider_run())
        .order_by(workflow_runs.c.run_id)
    )


def _named_in(run: RunSummary, context: CheckContext) -> tuple[str, str] | None:
    """The provider run that the tags name, if a daemon would adopt it."""
    id = run.tags.get(PROVIDER_ID_TAG) if isinstance(run.tags, Mapping) else None
    provider = run.destination_if_valid(context.default_provider, context.engine_providers)
    is_known = provider is not None and (context.known_providers is None or provider in context.known_providers)
    return (provider, id) if provider is not None and is_known and isinstance(id, str) and id.strip() else None


def _recorded_run_ids(connection: Connection, provider_run_ids: Sequence[str]) -> dict[tuple[str, str], str]:
    columns = (submissions.c.provider, submissions.c.provider_run_id, submissions.c.run_id)
    if not provider_run_ids:
        return {}
    rows = connection.execute(select(*columns).where(in_list(submissions.c.provider_run_id, provider_run_ids)))
    return {(row.provider, row.provider_run_id): row.run_id for row in rows}


VIOLATED_BY_TAGS: Mapping[Check, Callable[[Connection, CheckContext], Iterator[Violation]]] = {
    checks.PROVIDER_RUN_IS_UNIQUE: _named_twice,
    checks.RUN_IS_EXPLAINED: _named_in_vain,
}
"""Returns all violations of the check that the tags show."""
