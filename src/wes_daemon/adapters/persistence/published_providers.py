"""What the daemons publish, in the table `daemons`."""

from collections.abc import Collection, Sequence, Set

from sqlalchemy import Engine, exists, select

from wes_daemon.adapters.persistence.expressions import is_one_of, store_now
from wes_daemon.adapters.persistence.mapping import provider_from, publication_from, run_summary_from
from wes_daemon.adapters.persistence.tables import daemons, polls, submissions
from wes_daemon.adapters.persistence.transactions import reading
from wes_daemon.adapters.persistence.work_probe import select_few_new_runs
from wes_daemon.application.ports.leases import Publication
from wes_daemon.application.ports.submissions import IN_DOUBT, Destination, SubmissionState
from wes_daemon.domain.runs import ProviderType


class SqlPublishedProviders:
    """`PublishedProviders` on connections of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def in_use(self, destination: Destination) -> Set[ProviderType]:
        state = submissions.c.state
        queries = (
            select(submissions.c.provider).where(is_one_of(state, SubmissionState.READY)).distinct(),
            select(submissions.c.provider).where(is_one_of(state, *IN_DOUBT)).distinct(),
            select(polls.c.provider).distinct(),
        )
        with reading(self._engine) as connection:
            found = [provider_from(name) for query in queries for name in connection.execute(query).scalars()]
            new_runs = [run_summary_from(row) for row in connection.execute(select_few_new_runs())]
        return frozenset(name for name in (*found, *map(destination, new_runs)) if name is not None)

    def live(self) -> Sequence[Publication | None]:
        query = select(daemons.c.providers).where(daemons.c.lease_until > store_now())
        with reading(self._engine) as connection:
            return [publication_from(text) for text in connection.execute(query).scalars()]

    def were_known(self, names: Collection[ProviderType]) -> Collection[ProviderType]:
        with reading(self._engine) as connection:
            texts = connection.execute(select(daemons.c.providers)).scalars().all()
            published = frozenset[ProviderType]().union(*(publication_from(text) or {} for text in texts))
            accepted = {
                name
                for name in names
                if connection.execute(
                    select(exists().where(submissions.c.provider == name, submissions.c.provider_run_id.is_not(None)))
                ).scalar()
            }
        return published.intersection(names) | accepted
