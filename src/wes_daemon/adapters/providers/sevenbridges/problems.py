"""What the service's validation says of a draft."""

from datetime import timedelta

from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.removing import try_to_remove_draft
from wes_daemon.adapters.providers.sevenbridges.tasks import Task
from wes_daemon.application.ports.errors import NotNow, Rejected

_UNTIL_SOMEBODY_PAYS = timedelta(minutes=10)


def refuse_invalid(client: SevenBridgesClient, task: Task) -> None:
    """Remove a draft that the service would not run, and say why.

    Raises:
        Rejected: with the service's words on each input.
        NotNow: it is the money that is missing, not the run that is wrong.
    """
    if not (task.is_draft and task.problems):
        return
    try_to_remove_draft(client, task.id)
    words = "; ".join(map(str, task.problems))
    if any(problem.is_about_money for problem in task.problems):
        raise NotNow(f"Seven Bridges: {words}", retry_after=_UNTIL_SOMEBODY_PAYS)
    raise Rejected(f"Seven Bridges refused the inputs: {words}")
