"""Receives hints about runs and polls these runs at once; only the answer to that poll is stored."""

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
    """What one pass received.

    Attributes:
        made_due: runs that were made due; a run that two deliveries named counts twice.
        hints: messages about runs, foreign runs included.
        other: messages about something else.
        unreadable: messages that cannot be parsed.
    """

    made_due: int = 0
    hints: int = 0
    other: int = 0
    unreadable: int = 0


class FollowEvents:
    """One pass receives until there are no more messages; a message is deleted after its effect is committed.

    Runs do not depend on events: while none can be received, runs are polled when they are due.
    """

    def __init__(
        self,
        *,
        source: HintSource,
        provider: ProviderType,
        units: UnitsOfWork,
        refresh: Callable[[], object],
        clock: Clock,
        stop: StopSignal,
    ) -> None:
        """Make no pass yet.

        Args:
            provider: the provider whose runs the messages of `source` name.
            refresh: called after runs were made due, in the thread that makes the pass.
        """
        self._source = source
        self._provider = provider
        self._units = units
        self._refresh = refresh
        self._clock = clock
        self._stop = stop
        self._log_throttle = LogThrottle(clock, every=timedelta(minutes=1))
        self._failing: set[str] = set()
        self._failures = 0
        self._failing_since = timedelta(0)
        self._paused_until = timedelta(0)

    def __call__(self) -> EventsReport:
        """Make one pass. While the source is paused after a failure, the pass receives nothing."""
        counts: Counter[str] = Counter()
        while not self._stop.is_raised and not self._is_paused():
            messages = self._received()
            if not messages:
                break
            counts.update(made_due=self._process(messages))
            counts.update(message.subject for message in messages)
        return EventsReport(
            made_due=counts["made_due"],
            hints=counts[Subject.RUN],
            other=counts[Subject.OTHER],
            unreadable=counts[Subject.UNREADABLE],
        )

    def _is_paused(self) -> bool:
        return bool(self._failing) and self._clock.monotonic() < self._paused_until

    def _received(self) -> Sequence[Message]:
        try:
            messages = self._source.receive()
        except HintsUnavailable as error:
            self._pause(_RECEIVE, error)
            return []
        # If the stop signal interrupted the wait, the source has not answered.
        if not self._stop.is_raised:
            self._record_success(_RECEIVE)
        return messages

    def _process(self, messages: Sequence[Message]) -> int:
        """Make the runs due, then delete the messages: after a crash in between they are delivered again."""
        made_due = self._make_due({id for message in messages for id in message.ids})
        self._log_unreadable([message for message in messages if message.subject is Subject.UNREADABLE])
        log_event(_log, logging.DEBUG, "events.received", messages=len(messages), made_due=made_due)
        self._delete([message.receipt for message in messages])
        if made_due:
            self._refresh()
        return made_due

    def _make_due(self, ids: Collection[ProviderRunId]) -> int:
        if not ids:
            return 0
        with self._units() as work:
            made_due = work.polls.make_due(self._provider, ids)
            work.commit()
        return len(made_due)

    def _delete(self, receipts: Collection[Receipt]) -> None:
        try:
            self._source.delete(receipts)
        except HintsUnavailable as error:
            self._pause(_DELETE, error)
        else:
            self._record_success(_DELETE)

    def _log_unreadable(self, unreadable: Sequence[Message]) -> None:
        if unreadable and self._log_throttle.allows("unreadable"):
            log_event(_log, logging.WARNING, "events.unreadable", provider=self._provider, reason=unreadable[0].problem)

    def _pause(self, operation: str, error: HintsUnavailable) -> None:
        """Pause the source, after each failure for twice as long; only the first failure is logged."""
        if not self._failing:
            self._failing_since = self._clock.monotonic()
            log_event(_log, logging.ERROR, "events.unavailable", provider=self._provider, reason=error)
        self._failing.add(operation)
        pause = min(_FIRST_PAUSE * (1 << min(self._failures, 30)), _LONGEST_PAUSE)
        self._paused_until = self._clock.monotonic() + pause
        self._failures += 1

    def _record_success(self, operation: str) -> None:
        """End the outage once every failed operation works again: receiving and deleting need different permissions."""
        if operation not in self._failing:
            return
        self._failing.remove(operation)
        if not self._failing:
            away = self._clock.monotonic() - self._failing_since
            log_event(_log, logging.INFO, "events.back", provider=self._provider, away=away)
            self._failures = 0
