"""What happens to daemons: the provider, the wire, the database, time, and people."""

from collections.abc import Iterator

from tests.model.world import (
    OPEN,
    SETTLED,
    Call,
    Model,
    Request,
    Row,
    Step,
    Successor,
    Task,
    World,
    arrived,
    committed,
    is_quiet,
    started,
    with_attempt,
    with_task,
)
from wes_daemon.application.ports.submissions import SubmissionState

LOSS = "the database loses its last commit"
RESTORATION = "the database is restored"


def steps_of_surroundings(world: World, model: Model) -> Iterator[Successor]:
    """Whatever may happen next without a daemon."""
    for request in sorted(set(world.wire)):
        yield from _travel(world, request, model)
    yield from _provider_changes(world, model)
    yield from _time_passes(world, model)
    yield from _people_act(world, model)
    if world.before is not None and not world.lost:
        yield LOSS, world._replace(row=world.before, before=None, lost=True)
    if model.surroundings.is_restored and not world.lost:
        # The backup is as old as the run: it is the oldest that has the run, and the one that has lost most.
        backup = Row(aged=world.row.aged)
        yield RESTORATION, world._replace(row=backup, before=None, lost=True)


def _travel(world: World, request: Request, model: Model) -> Iterator[Successor]:
    rest = arrived(world, request)
    yield "a request is lost", rest
    if model.surroundings.refusals_come_and_go:
        yield "a request is refused", _told_refusal(rest, request)
    yield from _ACTS[request.call](rest, request, model)


def _start(world: World, request: Request, model: Model) -> Iterator[Successor]:
    known = dict(world.remembered).get(request.key)
    if known is not None:
        yield "the key is known", _told(world, request, known)
    elif world.refusing:
        yield "a request is refused", _told_refusal(world, request)
    elif len(world.tasks) < model.size.tasks:
        task = len(world.tasks)
        after = world._replace(
            tasks=(*world.tasks, Task.STARTED), remembered=tuple(sorted([*world.remembered, (request.key, task)]))
        )
        yield "a run starts, its answer is lost", after
        yield "a run starts", _told(after, request, task)


def _create(world: World, request: Request, model: Model) -> Iterator[Successor]:
    if world.refusing:
        yield "a request is refused", _told_refusal(world, request)
    elif len(world.tasks) < model.size.tasks:
        made = Task.DRAFT if model.protocol.creates_without_running else Task.STARTED
        after = world._replace(tasks=(*world.tasks, made))
        yield f"{made} is made, its answer is lost", after
        yield f"{made} is made", _told(after, request, len(world.tasks))


def _run(world: World, request: Request, model: Model) -> Iterator[Successor]:
    del model
    task = request.task
    if world.tasks[task] is Task.STARTED:
        yield "the draft runs already", _told(world, request, task)
    elif world.tasks[task] is Task.DRAFT and world.refusing:
        yield "a request is refused", _told_refusal(world, request)
    elif world.tasks[task] is Task.DRAFT:
        after = with_task(world, task, Task.STARTED)
        yield "the draft starts, the answer is lost", after
        yield "the draft starts", _told(after, request, task)


def _told(world: World, request: Request, task: int) -> World:
    """The world in which the sender, where it still waits, hears what it has asked for."""
    is_made = request.call is Call.CREATE and world.tasks[task] is Task.DRAFT
    return _heard(world, request, Step.DRAFTED if is_made else Step.ANSWERED, task)


def _told_refusal(world: World, request: Request) -> World:
    """The world in which the sender hears a refusal; of a draft it looks first whether that runs all the same."""
    if request.call is Call.RUN and world.tasks[request.task] is Task.STARTED:
        return _told(world, request, request.task)
    return _heard(world, request, Step.REFUSED, request.task)


def _heard(world: World, request: Request, step: Step, task: int) -> World:
    for attempt in world.attempts:
        if attempt.number == request.sender and attempt.at is Step.SENT:
            return with_attempt(world, attempt._replace(at=step, task=task))
    return world


def _provider_changes(world: World, model: Model) -> Iterator[Successor]:
    if not world.refusing and not model.surroundings.refusals_come_and_go:
        yield "from now on the request is refused", world._replace(refusing=True)
    for number, task in enumerate(world.tasks):
        if task is Task.DRAFT:
            yield "a draft is deleted", with_task(world, number, Task.GONE)


def _time_passes(world: World, model: Model) -> Iterator[Successor]:
    row = world.row
    if row.leased:
        yield "the lease runs out", world._replace(row=row._replace(leased=False))
    if model.surroundings.time_passes and row.state in OPEN and not row.old:
        yield "the doubt grows old", world._replace(row=row._replace(old=True))
    if model.surroundings.horizon_passes and is_quiet(world):
        older = row._replace(aged=True, old=row.state in OPEN)
        yield "the horizon passes", world._replace(row=older, remembered=())
    if world.remembered and row.old and _may_forget(world, model):
        yield "the provider forgets the key", world._replace(remembered=())


def _may_forget(world: World, model: Model) -> bool:
    forgets = model.surroundings.service_forgets and is_quiet(world)
    return forgets or model.surroundings.requests_outlive_memory


def _people_act(world: World, model: Model) -> Iterator[Successor]:
    row = world.row
    if row.wanted and row.state not in SETTLED:
        yield "somebody cancels the run", committed(world, row._replace(wanted=False), model)
    if row.state is SubmissionState.REVIEW:
        yield from _resolve(world, model)


def _resolve(world: World, model: Model) -> Iterator[Successor]:
    """A person adopts what runs, and otherwise decides once nothing is under way any more."""
    row = world.row
    for task in started(world):
        accepted = row._replace(state=SubmissionState.ACCEPTED, run=task, old=False)
        yield "a person adopts the run", committed(world, accepted, model)
    has_looked = is_quiet(world) and not started(world)
    if has_looked:
        closed = row._replace(state=SubmissionState.CLOSED, old=False)
        yield "a person ends the run", committed(world, closed, model)
    if has_looked or model.surroundings.person_is_hasty:
        state = SubmissionState.INTENT if row.prepared < 0 else SubmissionState.PREPARED
        yield "a person has it sent again", committed(world, row._replace(state=state, old=False), model)


_ACTS = {Call.START: _start, Call.CREATE: _create, Call.RUN: _run}
