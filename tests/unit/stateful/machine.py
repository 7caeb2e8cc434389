"""Whatever may happen, in any order: drawn by Hypothesis, which looks for the shortest order that breaks a promise."""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests import fault_points
from tests.unit.stateful.calls import Strike
from tests.unit.stateful.clouds import SILENCE, Started, TokenCloud
from tests.unit.stateful.database import CommitFate
from tests.unit.stateful.judge import PlannedBug
from tests.unit.stateful.processes import Loop
from tests.unit.stateful.scene import DRAFTS, MEDDLING, TOKENS, Scene
from wes_daemon.application.ports.errors import (
    AnswerLost,
    CircuitOpen,
    Misconfigured,
    NotNow,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
    Unprovable,
)
from wes_daemon.domain.runs import ProviderType, StatusReport
from wes_daemon.domain.states import ENDED, RunState

T = TypeVar("T")
MOST_RUNS = 12

_LONGER_THAN_A_LEASE = timedelta(seconds=61)
_UNTIL_THE_NEXT_TRY = timedelta(seconds=11)
_UNTIL_THE_NEXT_LOOK = timedelta(seconds=301)

_Making = Callable[[], Exception]
"""Makes an error each time anew: one that is raised twice remembers the first time."""

_NOTHING_HAPPENED: Sequence[_Making] = (
    lambda: NotNow("not now"),
    lambda: Throttled("too many calls", retry_after=timedelta(seconds=30)),
    lambda: Unavailable("down"),
    lambda: NotSent("the lease is short", retry_after=timedelta(seconds=35)),
    lambda: CircuitOpen("failed too often", retry_after=timedelta(seconds=90)),
    lambda: Misconfigured("the token expired"),
)
_IN_DOUBT: Sequence[_Making] = (
    lambda: OutcomeUnknown("the connection broke"),
    lambda: AnswerLost("the service broke down"),
    lambda: Unprovable("nobody can tell"),
    lambda: PlannedBug("an answer that nobody can read"),
)
_ASKING: Mapping[str, Sequence[_Making]] = {
    "statuses": (*_NOTHING_HAPPENED, lambda: PlannedBug("a page that nobody can read")),
    "details": (*_NOTHING_HAPPENED, lambda: Rejected("gone"), lambda: PlannedBug("details that nobody can read")),
    "cancel": (*_NOTHING_HAPPENED, *_IN_DOUBT),
}


def _points_of(*kinds: str) -> Sequence[str]:
    return [point for point in (*fault_points.POINTS, SILENCE) if point.partition(".")[0] in kinds]


def _struck(loop: Loop, kind: str) -> list[tuple[Loop, str]]:
    return [(loop, point) for point in _points_of(kind)]


_processes = st.integers(0, 2)
_loops = st.sampled_from([Loop.CANCEL, Loop.REFRESH, Loop.HEARTBEAT])
_submitting = _points_of("claim", "submit", "wire", "prepared", "start", "accepted", "lease")
_calling = _points_of("submit", "wire", "prepared", "start")
_striking = _struck(Loop.REFRESH, "refresh") + _struck(Loop.CANCEL, "cancel") + _struck(Loop.HEARTBEAT, "lease")
_strikes = st.builds(Strike, point=st.sampled_from(_submitting), kills=st.booleans(), time=st.integers(1, 2))
_providers = st.sampled_from([DRAFTS, TOKENS])
_which = st.integers(0, MOST_RUNS - 1)
_troubles_of_asking = st.sampled_from([(operation, make) for operation, makers in _ASKING.items() for make in makers])
_reports = st.builds(
    StatusReport,
    state=st.sampled_from([RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED, RunState.UNKNOWN, *sorted(ENDED)]),
    provider_status=st.sampled_from(["a", "b"]),
)
_spans = st.sampled_from([timedelta(seconds=seconds) for seconds in (1, 31, 61, 301, 901, 3_601, 10_801)])
_fates = st.lists(st.sampled_from(list(CommitFate)), min_size=1, max_size=5)


class AnyInterleaving(RuleBasedStateMachine):
    """Daemons, services, persons, clouds and faults, one step of one of them at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()

    @initialize(providers=st.lists(st.none() | _providers, min_size=1, max_size=3))
    def begin(self, providers: Sequence[ProviderType | None]) -> None:
        for provider in providers:
            self.scene.queue(provider, is_refused=False)

    # What daemons do. A pass that stands where it was struck goes on when its turn comes again.

    @rule(number=_processes)
    def submit(self, number: int) -> None:
        self.scene.perform(number, lambda process: process.execute_pass(Loop.SUBMIT))

    @rule(number=_processes, strike=_strikes)
    def submit_and_be_struck(self, number: int, strike: Strike) -> None:
        self.scene.perform(number, lambda process: process.execute_pass(Loop.SUBMIT, strike))

    @rule(number=_processes, provider=_providers, make=st.sampled_from([*_NOTHING_HAPPENED, *_IN_DOUBT]))
    def fail_to_submit(self, number: int, provider: ProviderType, make: _Making) -> None:
        """Before the provider has done anything."""
        self.scene.pass_time(_UNTIL_THE_NEXT_TRY)
        self.scene.clouds[provider].fail_next(make())
        self.scene.perform(number, lambda process: process.execute_pass(Loop.SUBMIT))

    @rule(number=_processes, provider=_providers, make=st.sampled_from(_IN_DOUBT))
    def submit_in_vain(self, number: int, provider: ProviderType, make: _Making) -> None:
        """The provider does what it was asked for, and does not say so."""
        self.scene.pass_time(_UNTIL_THE_NEXT_TRY)
        self.scene.clouds[provider].lose_next_answer(error=make())
        self.scene.perform(number, lambda process: process.execute_pass(Loop.SUBMIT))

    @rule(number=_processes, at=st.sampled_from(_calling), misses=st.booleans())
    def overtake(self, number: int, at: str, misses: bool) -> None:
        """One stands for longer than its lease lasts, another takes over, and the first one finds out."""
        self.scene.drafts.search_misses = misses
        self.scene.perform(number, lambda process: process.execute_pass(Loop.SUBMIT, Strike(at, kills=False)))
        self.scene.pass_time(_LONGER_THAN_A_LEASE)
        self.scene.perform((number + 1) % 2, lambda process: process.execute_pass(Loop.SUBMIT))
        self.scene.perform(number, lambda process: process.execute_pass(Loop.SUBMIT))

    @rule(number=_processes, strike=st.none() | _strikes)
    def resolve_doubts(self, number: int, strike: Strike | None) -> None:
        self.scene.perform(number, lambda process: process.resolve(strike))

    @rule(number=_processes, loop=_loops)
    def execute_pass(self, number: int, loop: Loop) -> None:
        self.scene.perform(number, lambda process: process.execute_pass(loop))

    @rule(number=_processes, where=st.sampled_from(_striking), kills=st.booleans())
    def execute_pass_with_strike(self, number: int, where: tuple[Loop, str], kills: bool) -> None:
        loop, point = where
        self.scene.pass_time(_UNTIL_THE_NEXT_LOOK)
        self.scene.perform(number, lambda process: process.execute_pass(loop, Strike(point, kills)))

    @rule(number=_processes, provider=_providers, trouble=_troubles_of_asking)
    def ask_in_vain(self, number: int, provider: ProviderType, trouble: tuple[str, _Making]) -> None:
        operation, make = trouble
        self.scene.pass_time(_UNTIL_THE_NEXT_LOOK)
        self.scene.clouds[provider].fail_next(make(), operation=operation)
        loop = Loop.CANCEL if operation == "cancel" else Loop.REFRESH
        self.scene.perform(number, lambda process: process.execute_pass(loop))

    @rule(number=_processes, is_asked=st.booleans())
    def end(self, number: int, is_asked: bool) -> None:
        self.scene.perform(number, lambda process: process.stop() if is_asked else process.kill())

    @rule(span=_spans)
    def pass_time(self, span: timedelta) -> None:
        self.scene.pass_time(span)

    @rule(fates=_fates)
    def foresee_commits(self, fates: list[CommitFate]) -> None:
        self.scene.commits.foresee(fates)

    # What a service does.

    @precondition(lambda self: len(self.scene.judge.queued) < MOST_RUNS)
    @rule(provider=st.none() | _providers, number=st.integers(1, 3), is_refused=st.sampled_from([False, False, True]))
    def queue(self, provider: ProviderType | None, number: int, is_refused: bool) -> None:
        for _ in range(number):
            self.scene.queue(provider, is_refused=is_refused)

    @precondition(lambda self: self.scene.runs)
    @rule(which=_which, number=st.none() | _processes)
    def request_cancel(self, which: int, number: int | None) -> None:
        self.scene.request_cancel(_one_of(self.scene.runs, which))
        if number is not None:
            self.scene.perform(number, lambda process: process.execute_pass(Loop.CANCEL))

    @precondition(lambda self: self.scene.runs)
    @rule(which=_which, how=st.sampled_from(sorted(MEDDLING)))
    def meddle(self, which: int, how: str) -> None:
        MEDDLING[how](self.scene, _one_of(self.scene.runs, which))

    @precondition(lambda self: self.scene.deleted)
    @rule(which=_which)
    def restore(self, which: int) -> None:
        self.scene.restore(_one_of(self.scene.deleted, which))

    # What a person does.

    @precondition(lambda self: self.scene.in_review)
    @rule(which=_which)
    def resolve(self, which: int) -> None:
        self.scene.resolve(_one_of(self.scene.in_review, which))

    @precondition(lambda self: self.scene.in_review)
    @rule(which=_which)
    def send_again(self, which: int) -> None:
        self.scene.send_again(_one_of(self.scene.in_review, which))

    # What providers do.

    @precondition(lambda self: bool(_at_work(self.scene)))
    @rule(which=_which, report=_reports)
    def progress(self, which: int, report: StatusReport) -> None:
        cloud, started = _one_of(_at_work(self.scene), which)
        cloud.move(started.id, report)

    @precondition(lambda self: bool(_accepted(self.scene)))
    @rule(which=_which)
    def forget(self, which: int) -> None:
        cloud, started = _one_of(_accepted(self.scene), which)
        cloud.forget(started.id)

    @rule(provider=_providers)
    def delay_request(self, provider: ProviderType) -> None:
        self.scene.clouds[provider].delay_next_request()

    @precondition(lambda self: bool(_with_requests_under_way(self.scene)))
    @rule(which=_which)
    def arrive(self, which: int) -> None:
        _one_of(_with_requests_under_way(self.scene), which).arrive(which)

    @rule(misses=st.booleans())
    def search(self, misses: bool) -> None:
        self.scene.drafts.search_misses = misses

    @precondition(lambda self: self.scene.drafts.drafts)
    @rule(which=_which)
    def delete_draft(self, which: int) -> None:
        drafts = self.scene.drafts.drafts
        del drafts[_one_of(list(drafts), which)]

    @rule(provider=_providers, is_deaf=st.booleans(), make=st.none() | st.sampled_from(_IN_DOUBT))
    def hear_cancels_badly(self, provider: ProviderType, is_deaf: bool, make: _Making | None) -> None:
        self.scene.clouds[provider].is_deaf = is_deaf
        if make:
            self.scene.clouds[provider].lose_next_answer(operation="cancel", error=make())

    @invariant()
    def nothing_is_broken(self) -> None:
        self.scene.judge.judge_moment()
        self._require_nothing_broken()

    def teardown(self) -> None:
        """When the faults stop, every run ends; not looked at where the order of events was broken off."""
        is_broken_off = sys.exc_info()[0] is not None
        try:
            if not is_broken_off:
                self.scene.judge.verify()
                self._require_nothing_broken()
                self.scene.heal()
                self._require_nothing_broken()
                self.scene.bring_to_an_end()
                self.scene.judge.judge_end()
                self._require_nothing_broken()
        finally:
            self.scene.close()

    def _require_nothing_broken(self) -> None:
        violations = self.scene.judge.violations
        assert not violations, "\n".join(dict.fromkeys(violations))


def _one_of(choices: Sequence[T], which: int) -> T:
    return choices[which % len(choices)]


def _at_work(scene: Scene) -> Sequence[tuple[TokenCloud, Started]]:
    return [(cloud, started) for cloud in scene.clouds.values() for started in cloud.at_work()]


def _accepted(scene: Scene) -> Sequence[tuple[TokenCloud, Started]]:
    return [
        (cloud, started)
        for cloud in scene.clouds.values()
        for started in cloud.ledger
        if cloud.state(started.id) and scene.is_accepted(started)
    ]


def _with_requests_under_way(scene: Scene) -> Sequence[TokenCloud]:
    return [cloud for cloud in scene.clouds.values() if cloud.under_way]
