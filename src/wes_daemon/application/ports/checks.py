"""The checks that `verify` evaluates.

A violation of a check with severity `BROKEN` is caused by a bug, or by a person who changed the daemon's tables.
A violation of a check with severity `NOTICE` has other causes and needs a person's attention.
A WES service may set states, end runs, make ended runs active again, copy tags to other runs, and delete rows: none of
these actions violates a check.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from wes_daemon.domain.runs import EngineProviders, ProviderType, RunId


class Severity(StrEnum):
    """The meaning of a violation."""

    BROKEN = "broken"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A run that violates a check.

    Attributes:
        found: the values that violate it, as text for a person.
    """

    run_id: RunId
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A statement that is always true of a correct database, however busy it is.

    Attributes:
        description: the statement.
        found: describes a violation, with the names of values in braces.
    """

    name: str
    description: str
    found: str
    severity: Severity = Severity.BROKEN

    def violation(self, run_id: RunId, **values: object) -> Violation:
        """Make a violation from the values that `found` names."""
        texts = {name: _as_text(value) for name, value in values.items()}
        return Violation(run_id=run_id, found=self.found.format_map(texts))


PROVIDER_RUN_IS_UNIQUE = Check(
    name="one-run-each",
    description="Each provider run belongs to one run.",
    found="{provider} {provider_run_id} also belongs to {other}",
)
END_TIME_IS_VALID = Check(
    name="ended-in-time",
    description="A run that the daemon ended has an end time, which is not before its start time.",
    found="{state}, started {start_time}, ended {end_time}",
)
ACCEPTED_IS_POLLED = Check(
    name="accepted-is-followed",
    description="An accepted submission has a provider run and a poll schedule. Before that it has no provider run.",
    found="{state} at {provider} as {provider_run_id}, next poll {next_poll}",
)
POLLED_IS_ACCEPTED = Check(
    name="followed-is-accepted",
    description="A polled provider run belongs to an accepted submission, or to an ended run without details.",
    found="{provider} {provider_run_id}, last status {known_state}, but its submission is {state} as {submitted_id}",
)
ACTIVE_HAS_PROVIDER_RUN = Check(
    name="active-is-held",
    description="A run that the daemon made active has a provider run.",
    found="{state}, its submission is {submission}",
)
DOUBT_IS_RESOLVED = Check(
    name="doubt-is-settled",
    description="While a daemon is alive, a submission in doubt without a live owner is resolved in time.",
    found="{state}, waiting since {since}",
)
CLAIM_HAS_FENCING_TOKEN = Check(
    name="claims-are-numbered",
    description="A submission that was claimed has a fencing token.",
    found="{state}, owner {owner}, fencing token {fencing_token}",
)
TRANSITION_IS_ALLOWED = Check(
    name="steps-are-allowed",
    description="Each timeline entry of a run that has not ended records an allowed state transition.",
    found="{before} to {after} on {at}",
)
END_IS_FINAL = Check(
    name="endings-are-last",
    description="No timeline entry records a transition out of an end state. A service may make one without an entry.",
    found="{before} to {after} on {at}",
)
END_STATE_IS_KEPT = Check(
    name="endings-are-kept",
    # A service may cancel a run that it made active again.
    description="A run that the daemon ended keeps its end state, unless it was made active again or cancelled since.",
    found="{state}, but the daemon recorded the end state {end_state}",
)
POLL_IS_ON_TIME = Check(
    name="checked-in-time",
    description="While a daemon is alive, each provider run is polled when its poll is due.",
    found="due at {provider} since {since}",
)
NO_RUN_NEEDS_REVIEW = Check(
    name="in-review",
    description="No run needs review, that is, a person's decision whether a provider has it.",
    found="{provider}: {last_reason}",
    severity=Severity.NOTICE,
)
DELETED_IS_CANCELLED = Check(
    name="deleted-is-cancelled",
    description="A run whose row was deleted is not executed by its provider, or its cancellation was requested.",
    found="{provider} {provider_run_id}, last status {known_state}",
    severity=Severity.NOTICE,
)
DAEMON_IS_ALIVE = Check(
    name="a-daemon-lives",
    description="A daemon is alive while there are queued, cancelling or polled runs.",
    found="{state}",
    severity=Severity.NOTICE,
)
OWNER_IS_ALIVE = Check(
    name="owners-live",
    description="The daemon that claimed a submission in doubt is alive, or its lease expired recently.",
    found="{state}, the lease of its owner {owner} expired {since}",
    severity=Severity.NOTICE,
)
RUN_IS_EXPLAINED = Check(
    name="active-is-explained",
    description="Each active run that a service or another daemon has left has a known provider run.",
    found="{state}, and no provider run is known for it",
    severity=Severity.NOTICE,
)
CONCURRENCY_LIMIT_IS_KEPT = Check(
    name="cap-is-kept",
    description="Active runs do not exceed the configured concurrency limit, unless it was lowered or runs were "
    "adopted.",
    found="{active} runs are active, the limit is {allowed}",
    severity=Severity.NOTICE,
)

ROWS_ARE_CURRENT = Check(
    name="rows-are-current",
    description="The row of a run shows what the daemon recorded more than an hour ago.",
    found="since {since}: {reason}",
    severity=Severity.NOTICE,
)

CHECKS = (
    PROVIDER_RUN_IS_UNIQUE,
    END_TIME_IS_VALID,
    ACCEPTED_IS_POLLED,
    POLLED_IS_ACCEPTED,
    ACTIVE_HAS_PROVIDER_RUN,
    DOUBT_IS_RESOLVED,
    CLAIM_HAS_FENCING_TOKEN,
    TRANSITION_IS_ALLOWED,
    END_IS_FINAL,
    END_STATE_IS_KEPT,
    POLL_IS_ON_TIME,
    NO_RUN_NEEDS_REVIEW,
    DELETED_IS_CANCELLED,
    DAEMON_IS_ALIVE,
    OWNER_IS_ALIVE,
    RUN_IS_EXPLAINED,
    CONCURRENCY_LIMIT_IS_KEPT,
    ROWS_ARE_CURRENT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of one check.

    Attributes:
        count: the number of runs that violate it.
        first: the first few violations, sorted by run id.
    """

    check: Check
    count: int = 0
    first: Sequence[Violation] = ()

    @property
    def passed(self) -> bool:
        """Whether no run violates the check."""
        return self.count == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """The values that the checks need in addition to the database.

    Attributes:
        concurrency_limit: the number of runs that may be active at once.
        default_provider: the provider of a run whose tags and workflow engine name none.
        engine_providers: the providers that workflow engines name.
        known_providers: the providers whose active runs are followed that another program has started; None for all.
        overdue_after: how long a poll or a takeover may be due, if a daemon has been alive for that time.
        owner_expired_after: how long ago the lease of a claim's owner may have expired.
        shown: the maximum number of violations in each result.
    """

    concurrency_limit: int
    default_provider: ProviderType
    engine_providers: EngineProviders = field(default_factory=dict)
    known_providers: Collection[ProviderType] | None = None
    overdue_after: timedelta = timedelta(hours=1)
    owner_expired_after: timedelta = timedelta(minutes=10)
    shown: int = 5


class Checks(Protocol):
    """Evaluates the checks, without locks and outside of any unit of work."""

    def run(self, context: CheckContext) -> Sequence[CheckResult]:
        """Return the result of each of `CHECKS`, in their order.

        Each check sees the database at one moment. Two checks may see it at different moments.
        """


def _as_text(value: object) -> str:
    if value is None:
        return "none"
    return value.astimezone(UTC).isoformat(" ", "seconds") if isinstance(value, datetime) else str(value)
