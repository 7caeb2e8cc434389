"""Mutants of following, cancelling and reconciling: states, polls, hints, events, repairs."""

import ast
import threading
from collections.abc import Sequence
from datetime import timedelta

from tests.mutations.changes import always, drop, never, repeat, replace
from tests.mutations.mutant import Mutant, Variable
from tests.mutations.picks import call, calls, entry, handler, holds, receiver, the, uses
from wes_daemon.adapters.events.interruptible import InterruptibleSource
from wes_daemon.adapters.system import TimedListener
from wes_daemon.application.following.cancel_runs import CancelRuns
from wes_daemon.application.following.find_ended import FindEnded
from wes_daemon.application.following.follow_events import FollowEvents
from wes_daemon.application.following.refresh_statuses import RefreshStatuses, _is_unchanged
from wes_daemon.application.following.status_recorder import StatusRecorder
from wes_daemon.application.ports.errors import ProviderError
from wes_daemon.application.ports.polls import PollSchedule
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.wakeup import WakeUp
from wes_daemon.application.ports.watermarks import Watermarks
from wes_daemon.application.reconciling.repairing import Repairer, _is_current
from wes_daemon.application.reconciling.resolve_review import ResolveReview
from wes_daemon.application.runtime.daemon import _LoopSchedule
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.application.runtime.recording import Recording
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain import states
from wes_daemon.domain.runs import Run, _end_time
from wes_daemon.domain.states import RunState

_RUNS = "tests/unit/domain/test_runs.py"
_DAEMON = "tests/unit/application/test_daemon.py"
_REFRESH = "tests/unit/application/test_refresh_statuses.py"
_CANCEL = "tests/unit/application/test_cancel_runs.py"
_REVIEW = "tests/unit/application/test_resolve_review.py"
_DRAFTS = "tests/unit/application/test_delete_drafts.py"
_RECONCILE = "tests/unit/application/test_reconcile.py"

_STATES: Sequence[Mutant] = (
    Mutant(
        name="running-becomes-initializing",
        breaks="A running run goes back to INITIALIZING when its provider queues it again.",
        at=Variable(states, states.FOLLOWS),
        change=replace(entry(RunState.RUNNING).the(ast.Set), "{initializing, *_}", initializing=RunState.INITIALIZING),
        tests=["tests/unit/domain/test_states.py", f"{_RUNS}", _REFRESH],
    ),
    Mutant(
        name="any-reported-state-is-stored",
        breaks="Every reported state becomes the state of the run, UNKNOWN and earlier states included.",
        at=Run.updated,
        change=replace(the(ast.IfExp, calls(RunState.may_become)), lambda it: it.body),
        tests=[_RUNS],
    ),
    Mutant(
        name="unknown-is-stored",
        breaks="A report of the state UNKNOWN is stored.",
        at=_is_unchanged,
        change=drop(the(ast.Compare, uses(RunState.UNKNOWN))),
        tests=[f"{_REFRESH}::TestUnknown"],
    ),
    Mutant(
        name="ended-twice",
        breaks="A run that has ended gets another end with every further report.",
        at=Run.updated,
        change=never(the(ast.If, uses(RunState.has_ended), nth=0)),
        tests=[_RUNS],
    ),
    Mutant(
        name="end-before-start",
        breaks="A run ends before it began when two clocks disagree.",
        at=_end_time,
        change=replace(the(ast.IfExp), lambda it: it.orelse),
        tests=[_RUNS],
    ),
)

_POLLS: Sequence[Mutant] = (
    Mutant(
        name="missing-ends-at-once",
        breaks="A run is ended the first time that its provider does not know it.",
        at=StatusRecorder._missing,
        change=always(the(ast.If, calls(StatusRecorder._lost))),
        tests=[f"{_REFRESH}::TestUnknown"],
    ),
    Mutant(
        name="no-news-is-bad-news",
        breaks="While a provider cannot be reached, its runs count as unknown to it.",
        at=RefreshStatuses._poll,
        change=replace(
            handler(ProviderError).the(ast.Return),
            "reports = {}",
            reports=the(ast.Assign, calls(guarded)).part(lambda it: it.targets[0]),
        ),
        tests=[f"{_REFRESH}::TestProviderTrouble"],
    ),
    Mutant(
        name="an-outage-makes-missing-runs-lost-ones",
        breaks="A run that was missing when a circuit opened is ended as soon as the circuit closes.",
        at=RefreshStatuses._defer_for_circuit,
        change=drop(call(PollSchedule.reset_missing)),
        tests=[f"{_REFRESH}::TestOpenCircuit"],
    ),
    Mutant(
        name="failed-listing-advances-the-watermark",
        breaks="Runs that ended while a list of ended runs could not be read are never found.",
        at=FindEnded._read,
        change=repeat(
            the(ast.stmt, calls(Watermarks.advance)),
            after=handler(ProviderError).part(lambda it: it.body[-1]),
        ),
        tests=["tests/unit/application/test_find_ended.py"],
    ),
    Mutant(
        name="no-end-without-details",
        breaks="A run that has ended stays active for as long as its outputs are unavailable.",
        at=StatusRecorder._ended,
        change=drop(call(Recording.write)),
        tests=[f"{_REFRESH}::TestDetails"],
    ),
)

_CANCELLING_AND_RECONCILING: Sequence[Mutant] = (
    Mutant(
        name="cancel-not-passed-on",
        breaks="A cancellation is not sent to the provider; the run continues and costs money.",
        at=CancelRuns._cancel,
        change=replace(call(WorkflowProvider.cancel), receiver),
        tests=[_CANCEL],
    ),
    Mutant(
        name="failed-cancel-counts",
        breaks="A cancellation that failed at the provider is not repeated.",
        at=CancelRuns._cancel,
        change=replace(handler(ProviderError).the(ast.Return), "return None"),
        tests=[_CANCEL],
    ),
    Mutant(
        name="accident-cancels-everything",
        breaks="A deletion of many rows by accident cancels all their provider runs.",
        at=CancelRuns._is_accident,
        change=never(the(ast.If)),
        tests=[f"{_CANCEL}::TestDeletedRows"],
    ),
    Mutant(
        name="replaced-row-is-deleted",
        breaks="A service that replaces a row in two transactions loses the provider run.",
        at=CancelRuns._decide_about,
        change=drop(call(WakeUp.wait)),
        tests=[f"{_CANCEL}::TestDeletedRows"],
    ),
    Mutant(
        name="anything-may-be-adopted",
        breaks="A run is followed under a provider run id that its provider does not know.",
        at=ResolveReview.adopt,
        change=drop(call(ResolveReview._require_known)),
        tests=[_REVIEW],
    ),
    Mutant(
        name="recorded-draft-deleted",
        breaks="A draft is deleted although it was recorded in the meantime and is about to be started.",
        at=Repairer._delete_draft,
        change=never(the(ast.If, calls(_is_current))),
        tests=[_DRAFTS],
    ),
    Mutant(
        name="recorded-run-cancelled",
        breaks="A provider run is cancelled as surplus although it was recorded in the meantime.",
        at=Repairer._cancel,
        change=never(the(ast.If, calls(_is_current))),
        tests=[_RECONCILE],
    ),
)

_HINTS: Sequence[Mutant] = (
    Mutant(
        name="failed-hint-is-forgotten",
        breaks="A run that is queued during a short database outage waits for the next periodic pass.",
        at=_LoopSchedule.pass_ended,
        change=repeat(the(ast.Assign, holds(False)), before=the(ast.stmt, calls(WakeUp.wait), nth=0)),
        tests=[f"{_DAEMON}::TestHints"],
    ),
    Mutant(
        name="hint-is-lost-during-a-pass",
        breaks="A run that is queued during a pass waits for the next periodic pass.",
        at=TimedListener.wait,
        change=repeat(the(ast.stmt, calls(threading.Event.clear)), before=the(ast.If)),
        tests=["tests/unit/adapters/test_wakeup.py::TestTimedWakeUp::test_many_hints_end_one_wait"],
    ),
    Mutant(
        name="event-deleted-before-it-is-processed",
        breaks="A hint is lost when the database is unavailable for a moment.",
        at=FollowEvents._process,
        change=repeat(the(ast.stmt, calls(FollowEvents._delete)), before=the(ast.stmt, calls(FollowEvents._make_due))),
        tests=["tests/unit/application/test_follow_events.py::test_nothing_is_deleted_while_the_database_is_away"],
    ),
    Mutant(
        name="stop-waits-for-the-queue",
        breaks="A daemon that has to stop waits until the event queue has answered.",
        at=InterruptibleSource.__init__,
        change=drop(call(StopSignal.when_raised)),
        tests=["tests/unit/application/test_follow_events.py::TestInterruptible"],
        hangs_after=timedelta(seconds=20),
    ),
)

FOLLOWING: Sequence[Mutant] = (*_STATES, *_POLLS, *_CANCELLING_AND_RECONCILING, *_HINTS)
