"""The runs of providers that no daemon serves."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from wes_daemon.application.ports.errors import NotEnabled, ProviderError, Rejected
from wes_daemon.application.ports.leases import Publication
from wes_daemon.application.ports.providers import ProviderDirectory, WorkflowProvider
from wes_daemon.application.ports.published_providers import PublishedProviders
from wes_daemon.application.ports.submissions import Destination
from wes_daemon.application.submitting.submit_queued_runs import SubmitReport
from wes_daemon.domain.runs import ProviderType


@dataclass(frozen=True, slots=True, kw_only=True)
class UnservedPasses:
    """The passes for one provider that no daemon serves; None stands for runs whose provider cannot be determined.

    Attributes:
        submit: enrols queued runs, and records for each claimed run why it is not submitted.
        follow: passes cancellations on and polls, so that the log says why nothing is known about the runs.
    """

    submit: Callable[[], SubmitReport]
    follow: Callable[[], object]


class UnservedDirectory:
    """A `ProviderDirectory` without providers: it raises why each is not enabled."""

    def __init__(self) -> None:
        self.errors: Mapping[ProviderType, ProviderError] = {}

    @property
    def enabled(self) -> Collection[ProviderType]:
        return ()

    @property
    def known(self) -> Collection[ProviderType]:
        return self.errors.keys()

    def provider(self, type: ProviderType) -> WorkflowProvider:
        raise self.errors.get(type) or NotEnabled(f"provider {type} is not enabled here")


class SettleUnservedRuns:
    """One pass over the runs whose provider no live daemon serves.

    - A run of a provider that is known and lacks settings or its plug-in stays `QUEUED`, with the reason. It ends when
      its submission has failed for `SubmissionPolicy.timeout`.
    - A run of a provider that no daemon has ever known ends at once, as one with a misspelt name does.
    - The runs of a provider that another live daemon serves are left to that one. So are all runs while a daemon is at
      work that does not publish what it serves.
    """

    def __init__(
        self,
        *,
        published: PublishedProviders,
        providers: ProviderDirectory,
        default_provider: ProviderType,
        destination: Destination,
        reasons: Publication,
        directory: UnservedDirectory,
        make_passes: Callable[[ProviderType | None], UnservedPasses],
    ) -> None:
        """Make no pass yet.

        Args:
            providers: those that this process serves.
            destination: the provider of a run that is not enrolled yet.
            reasons: why this process does not serve the others that it knows.
            directory: the directory of the passes.
            make_passes: makes the passes for one provider, at the first need.
        """
        self._published = published
        self._providers = providers
        self._default_provider = default_provider
        self._destination = destination
        self._reasons = reasons
        self._directory = directory
        self._make_passes = make_passes
        self._passes: dict[ProviderType | None, UnservedPasses] = {}

    def __call__(self) -> Sequence[SubmitReport]:
        """Make one pass; return a report for each provider without a daemon that serves it."""
        reports = []
        if self._default_provider not in self._providers.enabled:
            # The loops of the default provider would enrol and settle these runs.
            reports.append(self._passes_for(None).submit())
        unserved = self._unserved()
        self._directory.errors = unserved
        for name in sorted(unserved):
            passes = self._passes_for(name)
            reports.append(passes.submit())
            passes.follow()
        return reports

    def _unserved(self) -> Mapping[ProviderType, ProviderError]:
        """Return the providers with runs that no live daemon serves, each with the error that its runs get."""
        names = self._published.in_use(self._destination) - frozenset(self._providers.enabled)
        if not names:
            return {}
        publications = self._published.live()
        if None in publications:
            return {}
        live = [each for each in publications if each is not None]
        unserved = {name for name in names if not any(each.get(name) == "" for each in live)}
        were_known = self._published.were_known(unserved) if unserved else ()
        return {name: self._error(name, live, is_known=name in were_known) for name in unserved}

    def _error(self, name: ProviderType, live: Sequence[Publication], *, is_known: bool) -> ProviderError:
        reasons = [self._reasons.get(name), *(each.get(name) for each in live)]
        if reason := next((each for each in reasons if each), None):
            return NotEnabled(f"no daemon serves the provider {name}: {reason}")
        known = {*self._reasons, *self._providers.enabled, *(other for each in live for other in each)}
        others = sorted(known - {name})
        if is_known:
            return NotEnabled(
                f"no daemon serves the provider {name}: its plug-in is no longer installed, or its table in "
                f"DAEMON_PROVIDERS_FILE is gone; the providers are {', '.join(others)}"
            )
        return Rejected(f"there is no provider {str(name)!r}; the providers are {', '.join(others)}")

    def _passes_for(self, name: ProviderType | None) -> UnservedPasses:
        if name not in self._passes:
            self._passes[name] = self._make_passes(name)
        return self._passes[name]
