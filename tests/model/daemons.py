"""What daemons do: claim, look, send, record. Between any two steps they may die or stall for any time."""

from collections.abc import Iterator

from tests.model.world import (
    NOTHING,
    OPEN,
    Attempt,
    Call,
    Kind,
    Model,
    Request,
    Row,
    Step,
    Successor,
    Task,
    World,
    committed,
    sent,
    started,
    with_attempt,
    with_task,
    without_attempt,
)
from wes_daemon.application.ports.submissions import SubmissionState


def steps_of_daemons(world: World, model: Model) -> Iterator[Successor]:
    """Whatever any daemon may do next."""
    yield from _claim(world, model)
    yield from _withdraw(world, model)
    for attempt in world.attempts:
        yield "a daemon dies, or cannot reach the database", without_attempt(world, attempt)
        yield from _STEPS[attempt.at](world, attempt, model)


def _claim(world: World, model: Model) -> Iterator[Successor]:
    """Claim and intent, one commit."""
    row = world.row
    if len(world.attempts) == model.size.daemons or world.claims == model.size.claims:
        return
    if not _may_be_claimed(row, model):
        return
    number = world.claims + 1
    resumed = row.state in OPEN
    attempt = Attempt(
        number=number,
        seq=row.seq + 1,
        resumed=resumed,
        is_late=resumed and row.old,
        searches=_searches(row, resumed, model),
        known=row.prepared,
    )
    begun = SubmissionState.INTENT if model.protocol.commits_intent else SubmissionState.READY
    state = row.state if resumed else begun
    claimed = row._replace(state=state, owner=number, leased=True, seq=attempt.seq)
    after = committed(world, claimed, model)._replace(claims=number)
    yield "a daemon takes over" if resumed else "a daemon claims", with_attempt(after, attempt)


def _searches(row: Row, resumed: bool, model: Model) -> bool:
    """A first call to a provider with keys needs no search: it may find nothing that the key does not."""
    protocol = model.protocol
    if protocol.kind is Kind.DRAFT:
        return True
    return (resumed and protocol.searches_after_a_doubt) or (row.aged and protocol.searches_for_old_rows)


def _may_be_claimed(row: Row, model: Model) -> bool:
    if row.state is SubmissionState.READY and not row.wanted:
        return False
    is_orphaned = model.protocol.takes_over and not row.leased
    is_free = row.owner is None or is_orphaned or not model.protocol.respects_leases
    return row.state in (SubmissionState.READY, *OPEN) and is_free


def _withdraw(world: World, model: Model) -> Iterator[Successor]:
    """A run that was cancelled and that no provider was ever asked to run ends as never started."""
    row = world.row
    if row.state is SubmissionState.READY and not row.wanted:
        yield "the cancelled run is closed", committed(world, _closed(row), model)


def _look(world: World, attempt: Attempt, model: Model) -> Iterator[Successor]:
    """With the claim in hand: wait for a better time, give it to a person, or go on."""
    yield from _put_off(world, attempt, model)
    yield from _hand_to_person(world, attempt, model)
    if attempt.known == NOTHING or world.tasks[attempt.known] is Task.GONE:
        yield from _search(world, attempt, model)
    elif world.tasks[attempt.known] is Task.STARTED:
        yield "the recorded draft runs already", _answered(world, attempt, attempt.known)
    else:
        yield "run the recorded draft", _running(world, attempt, attempt.known)


def _put_off(world: World, attempt: Attempt, model: Model) -> Iterator[Successor]:
    """`NotNow`: certainly nothing was started by this attempt; after too many of these it is given up."""
    row = world.row
    doubted = attempt.resumed and model.protocol.remembers_doubt
    keeps = doubted or row.state is SubmissionState.PREPARED
    state = row.state if keeps else SubmissionState.READY
    yield "not now", _recorded(world, attempt, row._replace(state=state), model)
    if not attempt.resumed:
        yield "not now, too often: the run is closed", _recorded(world, attempt, _closed(row), model)


def _hand_to_person(world: World, attempt: Attempt, model: Model) -> Iterator[Successor]:
    if attempt.is_late:
        review = world.row._replace(state=SubmissionState.REVIEW)
        yield "in doubt for too long: review", _recorded(world, attempt, review, model)


def _search(world: World, attempt: Attempt, model: Model) -> Iterator[Successor]:
    """It may find anything that there is, and miss anything, unless lists are complete."""
    if not attempt.searches:
        yield from _send(world, attempt, model)
        return
    for number, task in enumerate(world.tasks):
        if task is Task.STARTED:
            yield "a search finds a run", _answered(world, attempt, number)
        elif task is Task.DRAFT:
            yield "a search finds a draft", _drafted(world, attempt, number)
    if not (model.surroundings.lists_are_complete and started(world)):
        yield from _send(world, attempt, model)


def _send(world: World, attempt: Attempt, model: Model) -> Iterator[Successor]:
    waiting = with_attempt(world, attempt._replace(at=Step.SENT))
    if model.protocol.kind is Kind.DRAFT:
        yield "nothing is found: create a draft", sent(waiting, Request(Call.CREATE, attempt.number))
    elif not (attempt.is_late and model.protocol.keeps_the_horizon):
        key = 0 if model.protocol.same_key_at_every_try else attempt.number
        found = "nothing is found: " if attempt.searches else ""
        yield f"{found}send the key", sent(waiting, Request(Call.START, attempt.number, key))


def _wait(world: World, attempt: Attempt, model: Model) -> Iterator[Successor]:
    """No answer comes. `OutcomeUnknown`: the intent is kept, and anybody may resolve it."""
    if attempt.task != NOTHING and world.tasks[attempt.task] is Task.STARTED:
        yield "no answer, but the draft is seen to run", _answered(world, attempt, attempt.task)
    else:
        yield "no answer: in doubt", _recorded(world, attempt, world.row, model)


def _record_draft(world: World, attempt: Attempt, model: Model) -> Iterator[Successor]:
    """Only what is recorded is ever run."""
    if not model.protocol.records_before_running:
        yield "run the draft, unrecorded", _running(world, attempt, attempt.task)
        return
    if not _is_guarded(world.row, attempt, model):
        yield "the claim is gone", without_attempt(world, attempt)
        return
    row = world.row._replace(state=SubmissionState.PREPARED, prepared=attempt.task)
    after = committed(world, row, model)
    held = attempt._replace(at=Step.CLAIMED, known=attempt.task, task=NOTHING)
    yield "the draft is recorded", with_attempt(after, held)


def _record_run(world: World, attempt: Attempt, model: Model) -> Iterator[Successor]:
    row = world.row._replace(state=SubmissionState.ACCEPTED, run=attempt.task, old=False)
    yield "the run is recorded", _recorded(world, attempt, row, model)


def _record_refusal(world: World, attempt: Attempt, model: Model) -> Iterator[Successor]:
    """`Rejected`: the run ends as one that was never started, where no earlier request could have started it."""
    refused = world.tasks[attempt.task] if attempt.task != NOTHING else Task.GONE
    may_run = refused is not Task.GONE if model.protocol.kind is Kind.DRAFT else attempt.resumed
    if not (may_run and model.protocol.doubts_late_refusals):
        yield "refused: the run is closed", _recorded(world, attempt, _closed(world.row), model)
        return
    yield "refused, but in doubt", _recorded(world, attempt, world.row, model)
    if refused is Task.DRAFT:
        yield "the refused draft is removed", with_task(world, attempt.task, Task.GONE)
    if model.protocol.kind is Kind.TOKEN:
        review = world.row._replace(state=SubmissionState.REVIEW)
        yield "refused, but in doubt: review", _recorded(world, attempt, review, model)


def _recorded(world: World, attempt: Attempt, row: Row, model: Model) -> World:
    """The last write of an attempt, which gives the claim back; nothing is written where the claim is gone."""
    if not _is_guarded(world.row, attempt, model):
        return without_attempt(world, attempt)
    return without_attempt(committed(world, row._replace(owner=None, leased=False), model), attempt)


def _is_guarded(row: Row, attempt: Attempt, model: Model) -> bool:
    """`UPDATE … WHERE owner = mine AND claim_seq = mine AND state is open`."""
    may_write = OPEN if model.protocol.commits_intent else (SubmissionState.READY, *OPEN)
    is_mine = row.owner == attempt.number and row.seq == attempt.seq
    is_fenced = model.protocol.fences_writes and not is_mine
    has_moved = model.protocol.compares_the_draft and row.prepared != attempt.known
    return row.state in may_write and not is_fenced and not has_moved


def _closed(row: Row) -> Row:
    return row._replace(state=SubmissionState.CLOSED, owner=None, leased=False, old=False)


def _answered(world: World, attempt: Attempt, task: int) -> World:
    return with_attempt(world, attempt._replace(at=Step.ANSWERED, task=task))


def _drafted(world: World, attempt: Attempt, task: int) -> World:
    return with_attempt(world, attempt._replace(at=Step.DRAFTED, task=task))


def _running(world: World, attempt: Attempt, task: int) -> World:
    waiting = with_attempt(world, attempt._replace(at=Step.SENT, task=task))
    return sent(waiting, Request(Call.RUN, attempt.number, task=task))


_STEPS = {
    Step.CLAIMED: _look,
    Step.SENT: _wait,
    Step.DRAFTED: _record_draft,
    Step.ANSWERED: _record_run,
    Step.REFUSED: _record_refusal,
}
