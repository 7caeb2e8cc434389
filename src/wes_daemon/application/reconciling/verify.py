"""Evaluates the checks on a database and changes nothing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.checks import CheckContext, CheckResult, Checks, Severity
from wes_daemon.domain.runs import NO_ENGINES, EngineProviders, ProviderType


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The results of all checks."""

    results: Sequence[CheckResult]

    @property
    def broken(self) -> Sequence[CheckResult]:
        """Violated checks that point to a bug, or to a change of the daemon's tables by hand."""
        return self._violated(Severity.BROKEN)

    @property
    def notices(self) -> Sequence[CheckResult]:
        """Violated checks that need a person's attention."""
        return self._violated(Severity.NOTICE)

    def _violated(self, severity: Severity) -> Sequence[CheckResult]:
        return [result for result in self.results if not result.passed and result.check.severity is severity]


class Verify:
    """Evaluates all checks with the settings of this process."""

    def __init__(
        self,
        *,
        checks: Checks,
        concurrency_limit: int,
        default_provider: ProviderType,
        engine_providers: EngineProviders = NO_ENGINES,
        known_providers: Collection[ProviderType] | None = None,
    ) -> None:
        self._checks = checks
        self._concurrency_limit = concurrency_limit
        self._default_provider = default_provider
        self._engine_providers = engine_providers
        self._known_providers = known_providers

    def __call__(self, *, overdue_after: timedelta = timedelta(hours=1)) -> VerifyReport:
        """Evaluate the checks; `overdue_after` is how long a poll or a takeover may be due while a daemon is alive."""
        context = CheckContext(
            concurrency_limit=self._concurrency_limit,
            default_provider=self._default_provider,
            engine_providers=self._engine_providers,
            known_providers=self._known_providers,
            overdue_after=overdue_after,
        )
        return VerifyReport(self._checks.run(context))
