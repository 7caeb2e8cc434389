"""What other processes do in the race tests. They are started anew, share nothing, and meet at a barrier."""

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any

from tests.builders import ALL_DESTINATIONS
from tests.contracts.persistence_harness import destination
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitsOfWork
from wes_daemon.application.ports.leases import SessionId

Work = Callable[[str, Barrier, int], object]


def in_processes(work: Work, uri: str, number: int) -> Sequence[Any]:
    """What `work` returns in each of so many processes."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(number)
    answers: Any = context.Queue()
    processes = [context.Process(target=_answer, args=(answers, work, uri, barrier, each)) for each in range(number)]
    for process in processes:
        process.start()
    try:
        return [answers.get(timeout=180) for _ in processes]
    finally:
        for process in processes:
            process.join(timeout=10)
            process.kill()


def _answer(answers: Any, work: Work, uri: str, barrier: Barrier, number: int) -> None:
    answers.put(work(uri, barrier, number))


def upgrade(uri: str, barrier: Barrier, _number: int) -> str:
    """Upgrade at the same moment as the others; return the revision, or the error."""
    schema = Schema(make_engine(uri, connections=1))
    schema.head()
    barrier.wait(timeout=180)
    try:
        schema.upgrade()
    except Exception as error:  # noqa: BLE001 - whatever it is, the test is to show it
        return repr(error)
    return str(schema.current())


def claim(uri: str, barrier: Barrier, number: int) -> list[str]:
    """Claim at the same moment as the others, and hold the claim before its commit until they have claimed, too."""
    engine = make_engine(uri, connections=1)
    with SqlUnitsOfWork(engine)() as unit:
        unit.leases.daemons()
    barrier.wait(timeout=180)
    with SqlUnitsOfWork(engine)() as unit:
        claimed = unit.submissions.claim(
            SessionId(f"process-{number}"),
            limit=15,
            concurrency_limit=20,
            serving=ALL_DESTINATIONS,
            destination=destination,
        )
        with suppress(BrokenBarrierError):
            barrier.wait(timeout=0.3)
        unit.commit()
    engine.dispose()
    return [each.run.id for each in claimed]
