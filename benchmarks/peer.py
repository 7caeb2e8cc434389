"""Procrastinate, a job queue on PostgreSQL, with jobs that do nothing."""

import asyncio
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

if TYPE_CHECKING:
    from procrastinate import App

_PAGE = 1_000


def is_installed() -> bool:
    """Whether the extra `bench` is installed."""
    return find_spec("procrastinate") is not None and find_spec("psycopg") is not None


def execute_jobs(uri: str, jobs: int, concurrency: int) -> float:
    """Return the seconds in which one worker executes `jobs` jobs, which were deferred before."""
    return asyncio.run(_execute_jobs(uri, jobs, concurrency))


async def _execute_jobs(uri: str, jobs: int, concurrency: int) -> float:
    import procrastinate

    url = make_url(uri)
    connector = procrastinate.PsycopgConnector(
        kwargs={"host": url.query.get("host", url.host), "dbname": url.database, "user": url.username},
        min_size=concurrency,
        max_size=concurrency + 2,
    )
    app = procrastinate.App(connector=connector)
    # Not used as a decorator: without the extra its type cannot be checked.
    nothing: Any = app.task(name="nothing")(_do_nothing)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for begin in range(0, jobs, _PAGE):
            batch: list[dict[str, Any]] = [{"number": n} for n in range(begin, min(begin + _PAGE, jobs))]
            await nothing.batch_defer_async(*batch)
        begun = time.perf_counter()
        await app.run_worker_async(
            concurrency=concurrency, wait=False, delete_jobs="successful", install_signal_handlers=False
        )
        took = time.perf_counter() - begun
        await _require_none_left(app)
    return took


async def _do_nothing(number: int) -> None:
    del number


async def _require_none_left(app: "App") -> None:
    left = await app.job_manager.list_jobs_async(status="todo")
    if list(left):
        raise AssertionError("Procrastinate did not execute all jobs")
