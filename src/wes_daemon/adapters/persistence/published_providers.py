"""What the daemons publish, in the table `daemons`, and the table `unserved_providers`."""

from collections.abc import Collection, Mapping, Sequence, Set
from datetime import timedelta

from sqlalchemy import Connection, Engine, case, delete, exists, select

from wes_daemon.adapters.persistence.expressions import insert_into, is_one_of, seconds_since, store_after, store_now
from wes_daemon.adapters.persistence.mapping import (
    duration_from,
    provider_from,
    publication_from,
    run_summary_from,
    unserved_from,
)
from wes_daemon.adapters.persistence.tables import daemons, polls, submissions, unserved_providers
from wes_daemon.adapters.persistence.transactions import reading, writing
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

    def were_known(self, names: Collection[ProviderType]) -> Mapping[ProviderType, str]:
        sessions = select(daemons.c.host, daemons.c.lease_until, daemons.c.providers).order_by(daemons.c.lease_until)
        known: dict[ProviderType, str] = {}
        with reading(self._engine) as connection:
            for host, until, text in connection.execute(sessions):
                for name, problem in (publication_from(text) or {}).items():
                    served = f"{host} served it until {until:%Y-%m-%dT%H:%M:%SZ}"
                    known[name] = known.get(name, "") if problem else served
            accepted = [name for name in names if name not in known and _has_accepted(connection, name)]
        return {name: known.get(name, "") for name in names if name in known or name in accepted}

    def note_unserved(
        self, reasons: Mapping[ProviderType, str], *, forget_after: timedelta
    ) -> Mapping[ProviderType, timedelta]:
        columns = unserved_providers.c
        with writing(self._engine) as connection:
            connection.execute(delete(unserved_providers).where(columns.name.not_in(sorted(reasons))))
            for name, reason in sorted(reasons.items()):
                values = {"name": name, "reason": reason, "since": store_now(), "seen_at": store_now()}
                is_new = columns.seen_at < store_after(-forget_after)
                changed = {
                    "reason": reason,
                    "seen_at": store_now(),
                    "since": case((is_new, store_now()), else_=columns.since),
                }
                noting = insert_into(connection.dialect.name, unserved_providers).values(values)
                connection.execute(noting.on_conflict_do_update(index_elements=["name"], set_=changed))
            rows = connection.execute(select(columns.name, seconds_since(columns.since))).all()
            connection.commit()
        return {ProviderType(name): duration_from(seconds) for name, seconds in rows}

    def unserved(self) -> Mapping[ProviderType, str]:
        with reading(self._engine) as connection:
            return unserved_from(connection)


def _has_accepted(connection: Connection, name: ProviderType) -> bool:
    accepted = exists().where(submissions.c.provider == name, submissions.c.provider_run_id.is_not(None))
    return bool(connection.execute(select(accepted)).scalar())
