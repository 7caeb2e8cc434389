"""What the model knows: one run, one provider, some daemons, and everything that is under way between them.

Daemons are told apart only by what they are doing: whoever has no attempt under way is like any other.
A claim's `number` stands for the identity under which it was made; it is never used again.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from wes_daemon.application.ports.submissions import SubmissionState

OPEN = (SubmissionState.INTENT, SubmissionState.PREPARED)
SETTLED = (SubmissionState.ACCEPTED, SubmissionState.CLOSED)

NOBODY = 0
"""An owner or sender that is no more."""

NOTHING = -1
"""No task."""


class Kind(StrEnum):
    """How a provider is told to run something: one call with a key that it remembers, or a draft and then its run."""

    TOKEN = "token"
    DRAFT = "draft"


class Task(StrEnum):
    """What the provider has. `STARTED` is for ever: it counts also once it has ended."""

    DRAFT = "draft"
    STARTED = "started"
    GONE = "gone"


class Step(StrEnum):
    """How far an attempt has come.

    `CLAIMED` (nothing sent yet, or a draft recorded) → `SENT` → [`DRAFTED` → `CLAIMED` → `SENT` →] `ANSWERED`.
    """

    CLAIMED = "claimed"
    SENT = "sent"
    DRAFTED = "drafted"
    ANSWERED = "answered"
    REFUSED = "refused"


class Call(StrEnum):
    """A request that changes something at the provider."""

    START = "start"
    CREATE = "create"
    RUN = "run"


class Row(NamedTuple):
    """The run in the database.

    Attributes:
        owner: the number of the claim; None where it was given back.
        leased: the owner's lease lasts.
        prepared, run: the recorded draft, and the run that the provider is said to hold.
        wanted: nobody has cancelled it.
        old: in doubt for longer than the horizon.
        aged: queued for longer than the horizon.
    """

    state: SubmissionState = SubmissionState.READY
    owner: int | None = None
    leased: bool = False
    seq: int = 0
    prepared: int = NOTHING
    run: int = NOTHING
    wanted: bool = True
    old: bool = False
    aged: bool = False


class Attempt(NamedTuple):
    """A daemon at work under a claim.

    Attributes:
        resumed: an earlier attempt may have started something.
        is_late: when it was claimed, that had been in doubt for longer than the horizon.
        searches: something may have been sent before that only a search can find.
        known: the draft that is recorded, as far as this attempt knows.
        task: what it has in hand.
    """

    number: int
    seq: int
    resumed: bool
    is_late: bool = False
    searches: bool = True
    known: int = NOTHING
    at: Step = Step.CLAIMED
    task: int = NOTHING


class Request(NamedTuple):
    """On the wire: it may be lost, or carried out at any time, also after its sender died."""

    call: Call
    sender: int
    key: int = 0
    task: int = NOTHING


class World(NamedTuple):
    """Everything at one moment.

    Attributes:
        wire: sorted, and so are the attempts.
        remembered: which key has started which task.
        refusing: the provider refuses whatever is new.
        before: the row as it was before its last commit, where that may be lost.
        lost: a commit was lost; it happens once.
    """

    row: Row = Row()
    attempts: tuple[Attempt, ...] = ()
    wire: tuple[Request, ...] = ()
    tasks: tuple[Task, ...] = ()
    remembered: tuple[tuple[int, int], ...] = ()
    refusing: bool = False
    claims: int = 0
    before: Row | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What daemons do. As it stands it is ours; each attribute is a part that may be left out, or put in."""

    kind: Kind
    commits_intent: bool = True
    same_key_at_every_try: bool = True
    records_before_running: bool = True
    creates_without_running: bool = True
    fences_writes: bool = True
    compares_the_draft: bool = False
    takes_over: bool = True
    respects_leases: bool = True
    remembers_doubt: bool = True
    keeps_the_horizon: bool = True
    doubts_late_refusals: bool = True
    searches_after_a_doubt: bool = True
    searches_for_old_rows: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What may happen besides what always may.

    That is: death, stalls, lost and late requests, lost answers, searches that miss anything, refusals for good,
    deleted drafts, a cancel.

    Attributes:
        time_passes: a doubt may grow older than the horizon.
        service_forgets: keys are forgotten some time after the horizon, once nothing that bears them is under way.
        requests_outlive_memory: keys are forgotten after the horizon, whatever is under way.
        refusals_come_and_go: a request may be refused that was or will be taken another time.
        commit_gets_lost: the database loses its last commit, once.
        is_restored: the database is restored once, from a backup in which the run is queued and was never claimed.
        horizon_passes: once nothing is under way, more than the horizon may pass; then keys are forgotten.
        lists_are_complete: a search finds what was started.
        person_is_hasty: sends again without having looked.
    """

    time_passes: bool = False
    service_forgets: bool = False
    requests_outlive_memory: bool = False
    refusals_come_and_go: bool = False
    commit_gets_lost: bool = False
    is_restored: bool = False
    horizon_passes: bool = False
    lists_are_complete: bool = False
    person_is_hasty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is looked at: daemons at work at once, claims in all, tasks at the provider."""

    daemons: int = 2
    claims: int = 3
    tasks: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is searched."""

    protocol: Protocol
    surroundings: Surroundings = field(default_factory=Surroundings)
    size: Size = field(default_factory=Size)


Successor = tuple[str, World]
"""What happened, in words, and the world after it."""


def committed(world: World, row: Row, model: Model) -> World:
    """The world after the row was written."""
    before = world.row if model.surroundings.commit_gets_lost and not world.lost else None
    return world._replace(row=row, before=before)


def with_task(world: World, number: int, task: Task) -> World:
    """The world in which the provider has this in place of what it had under that number."""
    return world._replace(tasks=(*world.tasks[:number], task, *world.tasks[number + 1 :]))


def with_attempt(world: World, attempt: Attempt) -> World:
    """The world in which this attempt has come as far as it says."""
    others = [each for each in world.attempts if each.number != attempt.number]
    return world._replace(attempts=tuple(sorted([*others, attempt])))


def without_attempt(world: World, attempt: Attempt) -> World:
    """The world in which nobody bears the attempt's number any more; what it has sent stays under way."""
    return world._replace(
        attempts=tuple(each for each in world.attempts if each.number != attempt.number),
        wire=tuple(sorted(_orphaned(request, attempt.number) for request in world.wire)),
        row=_disowned(world.row, attempt.number),
        before=None if world.before is None else _disowned(world.before, attempt.number),
    )


def sent(world: World, request: Request) -> World:
    """The world with one request more under way."""
    return world._replace(wire=tuple(sorted([*world.wire, request])))


def arrived(world: World, request: Request) -> World:
    """The world in which the request is under way no more."""
    wire = list(world.wire)
    wire.remove(request)
    return world._replace(wire=tuple(wire))


def started(world: World) -> list[int]:
    """What the provider was ever made to run."""
    return [number for number, task in enumerate(world.tasks) if task is Task.STARTED]


def is_quiet(world: World) -> bool:
    """Nothing is under way that could still start something."""
    return not world.wire and not world.attempts


def _orphaned(request: Request, number: int) -> Request:
    return request._replace(sender=NOBODY) if request.sender == number else request


def _disowned(row: Row, number: int) -> Row:
    return row._replace(owner=NOBODY) if row.owner == number else row
