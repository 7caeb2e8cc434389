"""Nothing that a live test has started is left running."""

from collections.abc import Collection
from datetime import timedelta

from tests.live.account import Account, LiveRun
from wes_daemon.adapters.system import sleep
from wes_daemon.domain.runs import ProviderRunId

_ROUNDS = 30


def clean(account: Account, ids: Collection[ProviderRunId] = (), *, between_looks: timedelta) -> None:
    """Stop what is unfinished of this session, and look again until nothing is.

    Args:
        ids: known runs, which the service's list may not show yet.

    Raises:
        AssertionError: something may be left, with what and why.
    """
    problem: object = None
    for _ in range(_ROUNDS):
        try:
            left = _unfinished(account, ids)
        except account.troubles as error:
            problem = error
        else:
            if not left:
                return
            problem = "; ".join(_stopped(account, run) for run in left)
        sleep(between_looks)
    raise AssertionError(f"not everything was cleaned up, look for it by hand: {problem}")


def _stopped(account: Account, run: LiveRun) -> str:
    """Stop one; trouble with it must not keep the others running."""
    try:
        account.stop(run)
    except account.troubles as error:
        return f"{run.id} ({run.key}): {error}"
    return f"{run.id} ({run.key}): was told to stop"


def _unfinished(account: Account, ids: Collection[ProviderRunId]) -> list[LiveRun]:
    found = {run.id: run for run in account.unfinished()}
    known = [run for id in ids if (run := account.look(id)) is not None and not run.is_over]
    return list((found | {run.id: run for run in known}).values())
