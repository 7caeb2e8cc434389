"""Watermarks of the lists of ended runs, on the database's clock."""

from datetime import datetime, timedelta

from sqlalchemy import Engine, exists, literal, select, update

from wes_daemon.adapters.persistence.expressions import insert_into, store_after, store_now
from wes_daemon.adapters.persistence.tables import polls, provider_looks
from wes_daemon.adapters.persistence.transactions import writing
from wes_daemon.application.ports.watermarks import ListReading
from wes_daemon.domain.runs import ProviderType
from wes_daemon.domain.states import ENDED

_COLUMNS = ("name", "seen_until", "begun_at")


class SqlWatermarks:
    """`Watermarks` in the table `provider_looks`, shared by all daemons on one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, name: str, provider: ProviderType, *, every: timedelta) -> ListReading | None:
        followed = exists().where(polls.c.provider == provider, polls.c.known_state.not_in(sorted(ENDED)))
        first = select(literal(name), store_now(), store_now()).where(followed)
        with writing(self._engine) as connection:
            # One statement, so that only one of several daemons that begin at the same time succeeds.
            row = connection.execute(
                insert_into(connection.dialect.name, provider_looks)
                .from_select(_COLUMNS, first)
                .on_conflict_do_update(
                    index_elements=["name"],
                    set_={"begun_at": store_now()},
                    where=provider_looks.c.begun_at <= store_after(-every),
                )
                .returning(provider_looks.c.seen_until, provider_looks.c.begun_at)
            ).first()
            connection.commit()
        return ListReading(read_until=row.seen_until, began_at=row.begun_at) if row else None

    def advance(self, name: str, until: datetime) -> None:
        older = (provider_looks.c.name == name, provider_looks.c.seen_until < until)
        with writing(self._engine) as connection:
            connection.execute(update(provider_looks).where(*older).values(seen_until=until))
            connection.commit()
