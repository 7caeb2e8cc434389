"""What is true of the database at any moment, however busy it is, and what needs a person.

A rule is *broken* by a bug, or by somebody's hand in the daemon's tables; a *notice* has neither to be blamed.
What a WES service may do with its own rows breaks no rule: it sets states, ends runs, makes them active again,
copies their tags and deletes them as it likes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from wes_daemon.application.ports.submissions import SubmissionState
from wes_daemon.domain.runs import ProviderType, RunId
from wes_daemon.domain.states import FOLLOWS, RunState

ACTIVE = (RunState.INITIALIZING, RunState.RUNNING, RunState.PAUSED)
"""What only the daemon or a service writes once a provider has a run."""

IN_DOUBT = (SubmissionState.INTENT, SubmissionState.PREPARED)
"""What may have been sent and is not settled."""

OUT = (SubmissionState.INTENT, SubmissionState.PREPARED, SubmissionState.REVIEW, SubmissionState.ACCEPTED)
"""What the cap counts."""

NOT_YET_ACCEPTED = (
    SubmissionState.READY,
    SubmissionState.INTENT,
    SubmissionState.PREPARED,
    SubmissionState.REVIEW,
)

STEPS = frozenset(
    [
        (None, RunState.QUEUED),
        *((state, state) for state in RunState),
        *((before, after) for before, following in FOLLOWS.items() for after in following),
    ]
)
"""What a timeline may note: from which state to which."""

STEPS_WHEN_HELD = frozenset((RunState.QUEUED, after) for after in FOLLOWS[RunState.INITIALIZING])
"""Further ones, of a run that a provider has had: a service may write `QUEUED` over what it is."""


class Gravity(StrEnum):
    """What it means where a rule does not hold."""

    BROKEN = "broken"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A run for which a rule does not hold.

    Attributes:
        found: what was found instead, for a person.
    """

    run_id: RunId
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Something that is true of the database.

    Attributes:
        says: what, in a sentence.
        found: what is found where it is not, with the names of values in braces.
    """

    name: str
    says: str
    found: str
    gravity: Gravity = Gravity.BROKEN

    def breach(self, run_id: RunId, **values: object) -> Breach:
        """A run for which it does not hold, in the words of `found`."""
        said = {name: _said(value) for name, value in values.items()}
        return Breach(run_id=run_id, found=self.found.format_map(said))


ONE_RUN_EACH = Rule(
    name="one-run-each",
    says="A run at a provider belongs to one run here.",
    found="{provider} {provider_run_id} belongs to {other} as well",
)
ENDED_IN_TIME = Rule(
    name="ended-in-time",
    says="A run that the daemon has ended has an end, which is not before its start.",
    found="{state}, started {start_time}, ended {end_time}",
)
ACCEPTED_IS_FOLLOWED = Rule(
    name="accepted-is-followed",
    says="An accepted submission names a run at a provider, and that is asked for; an earlier one names none.",
    found="{state} at {provider} as {provider_run_id}, next asked for {next_check_at}",
)
FOLLOWED_IS_ACCEPTED = Rule(
    name="followed-is-accepted",
    says="What is asked for is an accepted submission's run, or one that has ended and lacks its details.",
    found="{provider} {provider_run_id}, known as {known_state}, but its submission is {state} as {submitted_id}",
)
ACTIVE_IS_HELD = Rule(
    name="active-is-held",
    says="A run that the daemon has made active is held by a provider.",
    found="{state}, its submission is {submission}",
)
DOUBT_IS_SETTLED = Rule(
    name="doubt-is-settled",
    says="While a daemon lives, what may have been sent and is nobody's does not wait to be settled.",
    found="{state}, waiting since {since}",
)
CLAIMS_ARE_NUMBERED = Rule(
    name="claims-are-numbered",
    says="Whatever was claimed bears the number of its claim.",
    found="{state}, owner {owner}, claim {claim_seq}",
)
STEPS_ARE_ALLOWED = Rule(
    name="steps-are-allowed",
    says="Each step in a timeline is one that a run can take that has not ended.",
    found="{before} to {after} on {at}",
)
ENDINGS_ARE_LAST = Rule(
    name="endings-are-last",
    says="No step in a timeline leads out of an ending; a service may, by its own hand.",
    found="{before} to {after} on {at}",
)
ENDINGS_ARE_KEPT = Rule(
    name="endings-are-kept",
    # A service may cancel by itself what it had made active again.
    says="A run that the daemon has ended says how, unless it was made active again or cancelled since.",
    found="{state}, but the daemon ended it {ending}",
)
CHECKED_IN_TIME = Rule(
    name="checked-in-time",
    says="While a daemon lives, each run at a provider is asked for when its turn has come.",
    found="due at {provider} since {since}",
)
IN_REVIEW = Rule(
    name="in-review",
    says="No run waits for a person to say whether a provider has it.",
    found="{provider}: {last_reason}",
    gravity=Gravity.NOTICE,
)
A_DAEMON_LIVES = Rule(
    name="a-daemon-lives",
    says="A daemon is alive while there are runs to look at.",
    found="{state}",
    gravity=Gravity.NOTICE,
)
OWNERS_LIVE = Rule(
    name="owners-live",
    says="Who has claimed a run is alive, or was a moment ago.",
    found="{state}, its owner {owner} is gone since {since}",
    gravity=Gravity.NOTICE,
)
CAP_IS_KEPT = Rule(
    name="cap-is-kept",
    says="No more runs are out than the cap of these settings allows, unless it was lowered or runs were adopted.",
    found="beyond the cap: {out} are out, the cap is {cap}",
    gravity=Gravity.NOTICE,
)

RULES = (
    ONE_RUN_EACH,
    ENDED_IN_TIME,
    ACCEPTED_IS_FOLLOWED,
    FOLLOWED_IS_ACCEPTED,
    ACTIVE_IS_HELD,
    DOUBT_IS_SETTLED,
    CLAIMS_ARE_NUMBERED,
    STEPS_ARE_ALLOWED,
    ENDINGS_ARE_LAST,
    ENDINGS_ARE_KEPT,
    CHECKED_IN_TIME,
    IN_REVIEW,
    A_DAEMON_LIVES,
    OWNERS_LIVE,
    CAP_IS_KEPT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule came to.

    Attributes:
        count: for how many runs it does not hold; 0 where it holds.
        first: the first few of them, in the order of their ids.
    """

    rule: Rule
    count: int = 0
    first: Sequence[Breach] = ()

    @property
    def holds(self) -> bool:
        """Whether there is none."""
        return self.count == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the rules have to know of the settings, and of the patience of whoever asks.

    Attributes:
        cap: runs that may be out at once.
        default_provider: where a run goes whose tags name no provider.
        unchecked_for: how long something may be overdue while a daemon lives, and has lived for as long.
        owner_gone_for: how long the owner of a claim may be gone.
        shown: so many runs at most are told of for each rule.
    """

    cap: int
    default_provider: ProviderType
    unchecked_for: timedelta = timedelta(hours=1)
    owner_gone_for: timedelta = timedelta(minutes=10)
    shown: int = 5


class Invariants(Protocol):
    """Reads for whoever wants to know whether everything is right; no locks, no part in a unit of work."""

    def check(self, expected: Expected) -> Sequence[Finding]:
        """What each of `RULES` comes to, in their order.

        Each rule sees the database as it is at one moment; two rules may see it at different ones.
        """


def _said(value: object) -> str:
    if value is None:
        return "none"
    return value.astimezone(UTC).isoformat(" ", "seconds") if isinstance(value, datetime) else str(value)
