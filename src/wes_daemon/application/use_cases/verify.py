"""Whether everything is right with the runs of one database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from wes_daemon.application.ports.invariants import Expected, Finding, Gravity, Invariants
from wes_daemon.application.submitting.outcomes import SubmissionPolicy


@dataclass(frozen=True, slots=True)
class Verdict:
    """What every rule came to."""

    findings: Sequence[Finding]

    @property
    def broken(self) -> Sequence[Finding]:
        """Rules that a bug or somebody's hand has broken."""
        return [found for found in self.findings if not found.holds and found.rule.gravity is Gravity.BROKEN]

    @property
    def notices(self) -> Sequence[Finding]:
        """What needs a person."""
        return [found for found in self.findings if not found.holds and found.rule.gravity is Gravity.NOTICE]


class Verify:
    """Holds the invariants against the database, and changes nothing."""

    def __init__(self, *, invariants: Invariants, policy: SubmissionPolicy) -> None:
        self._invariants = invariants
        self._policy = policy

    def __call__(self, *, unchecked_for: timedelta = timedelta(hours=1)) -> Verdict:
        """What each rule comes to; `unchecked_for` is how long something may be overdue while a daemon lives."""
        expected = Expected(
            cap=self._policy.cap,
            default_provider=self._policy.default_provider,
            unchecked_for=unchecked_for,
        )
        return Verdict(self._invariants.check(expected))
