"""Every world that can come about, shortest ways first, and the first promise that one of them breaks."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.model.daemons import steps_of_daemons
from tests.model.surroundings import LOSS, RESTORATION, steps_of_surroundings
from tests.model.world import SETTLED, Model, Successor, World, started
from wes_daemon.application.ports.submissions import SubmissionState


class Verdict(StrEnum):
    """What a search has shown."""

    SAFE = "all promises hold"
    DUPLICATE = "two runs were started"
    DENIED = "a run that was ended as never started was started"
    MISTAKEN = "what is recorded as the run was not started"
    REVIVED = "what was settled was changed"
    STUCK = "the run can never be settled any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a search has shown, and the way to it.

    Attributes:
        states: how many different worlds were seen.
        way: what happened, from the start to the broken promise; empty where all hold.
    """

    verdict: Verdict
    states: int
    way: Sequence[str] = field(default=())


def search(model: Model, *, heeding: Collection[Verdict] = frozenset(Verdict)) -> Finding:
    """See every world of the model, or as many as it takes to see one of the promises broken that are heeded."""
    return _Search(model, heeding).run()


class _Search:
    def __init__(self, model: Model, heeding: Collection[Verdict]) -> None:
        self._model = model
        self._heeding = heeding
        self._numbers: dict[World, int] = {World(): 0}
        self._reached_by: list[tuple[int, str]] = [(0, "")]
        self._predecessors: list[list[int]] = [[]]

    def run(self) -> Finding:
        waiting = deque([World()])
        while waiting:
            world = waiting.popleft()
            source = self._numbers[world]
            for event, after in _successors(world, self._model):
                is_new = self._note(source, event, after)
                broken = _broken(world, event, after)
                if broken is not Verdict.SAFE and broken in self._heeding:
                    return self._finding(broken, after)
                if is_new:
                    waiting.append(after)
        stuck = self._first_stuck() if Verdict.STUCK in self._heeding else None
        return self._finding(Verdict.SAFE if stuck is None else Verdict.STUCK, stuck)

    def _note(self, source: int, event: str, after: World) -> bool:
        """Remember the step; tell whether it led to a new world."""
        target = self._numbers.setdefault(after, len(self._numbers))
        is_new = target == len(self._predecessors)
        if is_new:
            self._reached_by.append((source, event))
            self._predecessors.append([])
        self._predecessors[target].append(source)
        return is_new

    def _first_stuck(self) -> World | None:
        """The nearest world from which the run cannot be settled, though daemons and the provider may go on."""
        settled = [number for world, number in self._numbers.items() if world.row.state in SETTLED]
        hopeful = _all_before(settled, self._predecessors)
        lost = (world for world, number in self._numbers.items() if not hopeful[number] and self._goes_on(world))
        return next(lost, None)

    def _goes_on(self, world: World) -> bool:
        """The bounds of the model are not what holds it up."""
        size = self._model.size
        return world.claims < size.claims and len(world.tasks) < size.tasks

    def _finding(self, verdict: Verdict, world: World | None) -> Finding:
        way = () if world is None else self._way_to(self._numbers[world])
        return Finding(verdict=verdict, states=len(self._numbers), way=way)

    def _way_to(self, number: int) -> Sequence[str]:
        events: list[str] = []
        while number:
            number, event = self._reached_by[number]
            events.append(event)
        return events[::-1]


def _successors(world: World, model: Model) -> Iterator[Successor]:
    yield from steps_of_daemons(world, model)
    yield from steps_of_surroundings(world, model)


def _broken(before: World, event: str, after: World) -> Verdict:
    """The promise that this step has broken, if any."""
    if len(started(after)) > 1:
        return Verdict.DUPLICATE
    if after.row.state is SubmissionState.CLOSED and started(after):
        return Verdict.DENIED
    if after.row.state is SubmissionState.ACCEPTED and after.row.run not in started(after):
        return Verdict.MISTAKEN
    if before.row.state in SETTLED and _outcome(before) != _outcome(after) and event not in (LOSS, RESTORATION):
        return Verdict.REVIVED
    return Verdict.SAFE


def _outcome(world: World) -> tuple[SubmissionState, int]:
    return world.row.state, world.row.run


def _all_before(ends: Sequence[int], predecessors: Sequence[Sequence[int]]) -> bytearray:
    """Marks every number from which one of the ends can be reached."""
    marked = bytearray(len(predecessors))
    waiting = deque(ends)
    for end in ends:
        marked[end] = True
    while waiting:
        for number in predecessors[waiting.popleft()]:
            if not marked[number]:
                marked[number] = True
                waiting.append(number)
    return marked
