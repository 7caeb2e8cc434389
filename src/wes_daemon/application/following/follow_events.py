"""What others say has happened: runs they speak of are asked for at once; only the answer to that is ever stored."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.events import HintSource, HintsUnavailable, Message, Receipt, Subject
from wes_daemon.application.ports.unit_of_work import UnitsOfWork
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.stop_signal import StopSignal
from wes_daemon.domain.runs import ProviderRunId, ProviderType

_log = logging.getLogger(__name__)

_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(minutes=5)
_RECEIVE, _DELETE = "receive", "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsReport:
    """What one pass has received.

    Attributes:
        hurried: runs that were made due; a run that was spoken of in two deliveries counts twice.
        hints: messages about runs, those of others included.
        foreign: messages about something else.
        unreadable: messages that nobody can read.
    """

    hurried: int = 0
    hints: int = 0
    foreign: int = 0
    unreadable: int = 0


class FollowEvents:
    """One pass receives until there is nothing more; what was received is deleted once it is committed.

    Nobody waits for events: while they cannot be had, runs are asked for in their turn.
    """

    def __init__(
        self,
        *,
        source: HintSource,
        provider: ProviderType,
        units: UnitsOfWork,
        refresh_soon: Callable[[], object],
        clock: Clock,
        stop: StopSignal,
    ) -> None:
        """Do nothing yet.

        Args:
            provider: whose runs the messages of `source` are about.
            refresh_soon: called when runs were made due, in the thread that makes the pass.
        """
        self._source = source
        self._provider = provider
        self._units = units
        self._refresh_soon = refresh_soon
        self._clock = clock
        self._stop = stop
        self._complaints = LogThrottle(clock, every=timedelta(minutes=1))
        self._failing: set[str] = set()
        self._failures = 0
        self._failing_since = timedelta(0)
        self._rests_until = timedelta(0)

    def __call__(self) -> EventsReport:
        """Make one pass; none while the source is left alone because it has failed."""
        counts: Counter[str] = Counter()
        while not self._stop.is_raised and not self._rests():
            messages = self._received()
            if not messages:
                break
            counts.update(hurried=self._pass_on(messages))
            counts.update(message.subject for message in messages)
        return EventsReport(
            hurried=counts["hurried"],
            hints=counts[Subject.RUN],
            foreign=counts[Subject.OTHER],
            unreadable=counts[Subject.UNREADABLE],
        )

    def _rests(self) -> bool:
        return bool(self._failing) and self._clock.monotonic() < self._rests_until

    def _received(self) -> Sequence[Message]:
        try:
            messages = self._source.receive()
        except HintsUnavailable as error:
            self._let_rest(_RECEIVE, error)
            return []
        # Whoever was interrupted by a stop has got no answer.
        if not self._stop.is_raised:
            self._worked(_RECEIVE)
        return messages

    def _pass_on(self, messages: Sequence[Message]) -> int:
        """Make the runs due, and only then delete what told of them: a crash in between has it told again."""
        hurried = self._hurry({id for message in messages for id in message.ids})
        self._complain_of([message for message in messages if message.subject is Subject.UNREADABLE])
        log_event(_log, logging.DEBUG, "events.received", messages=len(messages), hurried=hurried)
        self._delete([message.receipt for message in messages])
        if hurried:
            self._refresh_soon()
        return hurried

    def _hurry(self, ids: Collection[ProviderRunId]) -> int:
        if not ids:
            return 0
        with self._units() as work:
            hurried = work.polls.make_due(self._provider, ids)
            work.commit()
        return len(hurried)

    def _delete(self, receipts: Collection[Receipt]) -> None:
        try:
            self._source.delete(receipts)
        except HintsUnavailable as error:
            self._let_rest(_DELETE, error)
        else:
            self._worked(_DELETE)

    def _complain_of(self, unreadable: Sequence[Message]) -> None:
        if unreadable and self._complaints.allows("unreadable"):
            log_event(_log, logging.WARNING, "events.unreadable", provider=self._provider, reason=unreadable[0].problem)

    def _let_rest(self, operation: str, error: HintsUnavailable) -> None:
        """Twice as long each time, and said the first time."""
        if not self._failing:
            self._failing_since = self._clock.monotonic()
            log_event(_log, logging.ERROR, "events.unavailable", provider=self._provider, reason=error)
        self._failing.add(operation)
        pause = min(_FIRST_PAUSE * (1 << min(self._failures, 30)), _LONGEST_PAUSE)
        self._rests_until = self._clock.monotonic() + pause
        self._failures += 1

    def _worked(self, operation: str) -> None:
        """It is over when everything works again that has failed: to receive says nothing of a right to delete."""
        if operation not in self._failing:
            return
        self._failing.remove(operation)
        if not self._failing:
            away = self._clock.monotonic() - self._failing_since
            log_event(_log, logging.INFO, "events.back", provider=self._provider, away=away)
            self._failures = 0
