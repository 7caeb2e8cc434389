"""The runs of providers that no daemon serves."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotEnabled
from wes_daemon.application.ports.leases import Publication
from wes_daemon.application.ports.providers import ProviderDirectory, WorkflowProvider
from wes_daemon.application.ports.published_providers import PublishedProviders
from wes_daemon.application.ports.submissions import Destination
from wes_daemon.application.ports.work_probe import WorkProbe
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.log_throttle import LogThrottle
from wes_daemon.application.runtime.recording import Recorder, Recording
from wes_daemon.application.submitting.submit_queued_runs import SubmitQueuedRuns
from wes_daemon.domain.runs import ProviderType, RunId

_log = logging.getLogger(__name__)

_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class UnservedReport:
    """What one pass found.

    Attributes:
        reasons: the providers in use that no live daemon serves, and why.
        ended: how many runs of each were ended.
    """

    reasons: Mapping[ProviderType, str] = field(default_factory=dict)
    ended: Mapping[ProviderType, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnservedPolicy:
    """When runs of a provider end that no live daemon serves.

    Attributes:
        default_provider: the provider of runs that name none.
        destination: the provider of a run that is not enrolled yet.
        timeout: how long a run, and its provider, must have waited if the provider is known.
        settling_time: how long a name that no daemon has ever known must have been in use: longer than all daemons of
            a site take to start.
        forget_after: a provider that no pass has found unserved for so long counts as unserved from then on.
    """

    default_provider: ProviderType
    destination: Destination
    timeout: timedelta
    settling_time: timedelta
    forget_after: timedelta


class UnservedDirectory:
    """A `ProviderDirectory` without providers, for runs in doubt: it raises why theirs is not enabled."""

    def __init__(self, reasons: Mapping[ProviderType, str]) -> None:
        self._reasons = reasons

    @property
    def enabled(self) -> Collection[ProviderType]:
        return ()

    @property
    def known(self) -> Collection[ProviderType]:
        return self._reasons.keys()

    def provider(self, type: ProviderType) -> WorkflowProvider:
        raise NotEnabled(self._reasons.get(type, f"no daemon serves the provider {type}"))


class SettleUnservedRuns:
    """One pass over the runs whose provider no live daemon serves. None of them is claimed, unless it is in doubt.

    - A run of a provider that is known and lacks settings, its plug-in or its daemon stays `QUEUED`. It ends when it
      has waited for the timeout, and its provider has not been served for as long.
    - A run of a provider that no daemon has ever known ends after the settling time, as one with a misspelt name does.
    - A run in doubt is never ended; it needs review after the timeout.
    - While a daemon is at work that does not publish what it serves, nothing is settled.
    """

    def __init__(
        self,
        *,
        published: PublishedProviders,
        providers: ProviderDirectory,
        reasons: Publication,
        policy: UnservedPolicy,
        recorder: Recorder,
        clock: Clock,
        work_probe: WorkProbe,
        daemon_session: DaemonSession,
        submit_unknown: SubmitQueuedRuns,
        make_submit: Callable[[Mapping[ProviderType, str]], SubmitQueuedRuns],
        end_withdrawn: Callable[[], object],
    ) -> None:
        """Make no pass yet.

        Args:
            providers: those that this process serves.
            reasons: why this process does not serve the others that it knows.
            submit_unknown: enrols rows, and ends runs whose provider cannot be determined.
            make_submit: makes a use case that takes over the runs in doubt of providers that are not served, with the
                reason of each.
            end_withdrawn: ends runs that were cancelled before their submission, in a daemon without providers.
        """
        self._published = published
        self._providers = providers
        self._reasons = reasons
        self._policy = policy
        self._recorder = recorder
        self._clock = clock
        self._work_probe = work_probe
        self._daemon_session = daemon_session
        self._submit_unknown = submit_unknown
        self._make_submit = make_submit
        self._end_withdrawn = end_withdrawn
        self._throttle = LogThrottle(clock, every=timedelta(minutes=1))

    def __call__(self) -> UnservedReport:
        """Make one pass."""
        if self._policy.default_provider not in self._providers.enabled and self._has_unknown_runs():
            # Else the loops of the default provider submit them.
            self._submit_unknown()
        if not self._providers.enabled:
            self._end_withdrawn()
        publications = self._published.live()
        if None in publications:
            if self._throttle.allows("older"):
                log_event(_log, logging.WARNING, "provider.older_daemon", advice="stop the daemons of older versions")
            return UnservedReport()
        known = [each for each in publications if each is not None]
        unserved = self._unserved(known)
        lasting = self._note({name: reason for name, (reason, _) in unserved.items()})
        if unserved:
            self._settle_doubts({name: reason for name, (reason, _) in unserved.items()})
        ended = {name: self._end_runs(name, *unserved[name], lasting=lasting[name]) for name in sorted(unserved)}
        return UnservedReport(reasons={name: reason for name, (reason, _) in unserved.items()}, ended=ended)

    def _has_unknown_runs(self) -> bool:
        return self._work_probe.has_queued_runs(self._policy.destination, serving={None})

    def _unserved(self, live: Sequence[Publication]) -> Mapping[ProviderType, tuple[str, bool]]:
        """Return the providers in use that no live daemon serves, each with the reason and whether it is known."""
        names = self._published.in_use(self._policy.destination) - frozenset(self._providers.enabled)
        unserved = {name for name in names if not _is_served(name, live)}
        were_known = self._published.were_known(unserved) if unserved else {}
        return {name: self._reason(name, live, were_known.get(name)) for name in unserved}

    def _reason(self, name: ProviderType, live: Sequence[Publication], last_served: str | None) -> tuple[str, bool]:
        reasons = [self._reasons.get(name), *(each.get(name) for each in live)]
        if reason := next((each for each in reasons if each), None):
            return f"no daemon serves the provider {name}: {reason}", True
        known = {*self._reasons, *self._providers.enabled, *(other for each in live for other in each)}
        others = ", ".join(sorted(known - {name}))
        if last_served is None:
            return f"there is no provider {str(name)!r}; the providers are {others}", False
        before = f" ({last_served})" if last_served else ""
        return (
            f"no daemon that serves the provider {name} is at work{before}: start it, install the plug-in here, or add "
            f"its table to DAEMON_PROVIDERS_FILE; the providers here are {others}"
        ), True

    def _note(self, reasons: Mapping[ProviderType, str]) -> Mapping[ProviderType, timedelta]:
        """Record the reasons, which `show` and `list` read. A pass that finds and found nothing writes nothing."""
        for name, reason in reasons.items():
            if self._throttle.allows(name):
                log_event(_log, logging.ERROR, "provider.unserved", provider=name, reason=reason)
        if not reasons and not self._published.unserved():
            return {}
        return self._published.note_unserved(reasons, forget_after=self._policy.forget_after)

    def _settle_doubts(self, reasons: Mapping[ProviderType, str]) -> None:
        """Enrol the rows of these providers, and require review of runs that have been in doubt for too long."""
        self._submit_unknown.enrol_queued()
        if self._work_probe.has_takeovers(self._daemon_session.id, serving=reasons.keys()):
            self._make_submit(reasons).resolve_takeovers()

    def _end_runs(self, name: ProviderType, reason: str, is_known: bool, *, lasting: timedelta) -> int:
        """End the runs that have waited for long enough; return their number."""
        needed = self._policy.timeout if is_known else self._policy.settling_time
        if lasting < needed:
            return 0
        waiting_for = needed if is_known else timedelta(0)
        told = f"given up after {timedelta(seconds=round(lasting.total_seconds()))}: {reason}" if is_known else reason
        total = 0
        while not self._is_served_again(name) and (ended := self._end_batch(name, waiting_for, told)):
            total += len(ended)
            for run_id in ended:
                log_event(_log, logging.ERROR, "submit.rejected", run_id=run_id, provider=name, reason=told)
        return total

    def _is_served_again(self, name: ProviderType) -> bool:
        publications = self._published.live()
        return None in publications or _is_served(name, [each for each in publications if each is not None])

    def _end_batch(self, name: ProviderType, waiting_for: timedelta, reason: str) -> Sequence[RunId]:
        now = self._clock.now()
        ended: Sequence[RunId] = ()

        def write(recording: Recording) -> None:
            nonlocal ended
            ended = recording.work.submissions.close_unserved(name, waiting_for=waiting_for, limit=_BATCH)
            recording.write(
                {id: (reason, lambda run: recording.update(run, run.rejected(reason, now), reason)) for id in ended}
            )

        self._recorder.record(write)
        return ended


def _is_served(name: ProviderType, publications: Sequence[Publication]) -> bool:
    return any(each.get(name) == "" for each in publications)
