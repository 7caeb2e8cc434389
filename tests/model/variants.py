"""The protocol as it is, and as it must not be: each with the verdict that a search has to come to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tests.model.search import Finding, Verdict, search
from tests.model.world import Kind, Model, Protocol, Size, Surroundings

TOKEN, DRAFT = Kind.TOKEN, Kind.DRAFT

_OLD_BACKUP = Surroundings(is_restored=True, horizon_passes=True, lists_are_complete=True)
_NO_SECOND_RUN = frozenset({Verdict.DUPLICATE, Verdict.MISTAKEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A protocol in its surroundings, and what becomes of it.

    Attributes:
        name: what is different from the protocol as it is.
        heeding: the promises that are looked at.
    """

    name: str
    protocol: Protocol
    surroundings: Surroundings = field(default_factory=Surroundings)
    heeding: Collection[Verdict] = frozenset(Verdict)
    verdict: Verdict

    def __str__(self) -> str:
        return f"{self.protocol.kind}: {self.name}"

    def search(self, size: Size) -> Finding:
        """Look at it."""
        model = Model(protocol=self.protocol, surroundings=self.surroundings, size=size)
        return search(model, heeding=self.heeding)


AS_IT_IS: Sequence[Variant] = (
    Variant(name="as it is", protocol=Protocol(kind=TOKEN), verdict=Verdict.SAFE),
    Variant(
        name="as it is, keys are forgotten and doubts go to review",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(time_passes=True, service_forgets=True),
        verdict=Verdict.SAFE,
    ),
    Variant(name="as it is", protocol=Protocol(kind=DRAFT), verdict=Verdict.SAFE),
    Variant(
        name="as it is, old doubts go to review",
        protocol=Protocol(kind=DRAFT),
        surroundings=Surroundings(time_passes=True),
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="as it is, refusals come and go",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(refusals_come_and_go=True),
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="as it is, refusals come and go",
        protocol=Protocol(kind=DRAFT),
        surroundings=Surroundings(refusals_come_and_go=True),
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="as it is, the database is restored within the horizon: no second run, though a run may be denied",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(is_restored=True),
        heeding=_NO_SECOND_RUN,
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="as it is, the database is restored after the horizon, and what was started is listed: no second run",
        protocol=Protocol(kind=TOKEN),
        surroundings=_OLD_BACKUP,
        heeding=_NO_SECOND_RUN,
        verdict=Verdict.SAFE,
    ),
)

BROKEN: Sequence[Variant] = (
    Variant(
        name="a fresh key at every try",
        protocol=Protocol(kind=TOKEN, same_key_at_every_try=False),
        verdict=Verdict.DUPLICATE,
    ),
    Variant(
        name="an old key is sent again after the service forgot it",
        protocol=Protocol(kind=TOKEN, keeps_the_horizon=False),
        surroundings=Surroundings(time_passes=True, service_forgets=True),
        verdict=Verdict.DUPLICATE,
    ),
    Variant(
        name="the intent is not committed before the call",
        protocol=Protocol(kind=TOKEN, commits_intent=False),
        verdict=Verdict.DENIED,
    ),
    Variant(
        name="a later 'not now' takes a doubt back",
        protocol=Protocol(kind=TOKEN, remembers_doubt=False),
        verdict=Verdict.DENIED,
    ),
    Variant(
        name="writes are not fenced",
        protocol=Protocol(kind=TOKEN, fences_writes=False),
        verdict=Verdict.DENIED,
    ),
    Variant(
        name="taken over from the living, without a fence",
        protocol=Protocol(kind=TOKEN, respects_leases=False, fences_writes=False),
        verdict=Verdict.DENIED,
    ),
    Variant(
        name="nobody takes over what the dead have left",
        protocol=Protocol(kind=TOKEN, takes_over=False),
        verdict=Verdict.STUCK,
    ),
    Variant(
        name="the draft is run before it is recorded",
        protocol=Protocol(kind=DRAFT, records_before_running=False),
        verdict=Verdict.DUPLICATE,
    ),
    Variant(
        name="made and run in one call",
        protocol=Protocol(kind=DRAFT, creates_without_running=False),
        verdict=Verdict.DUPLICATE,
    ),
    Variant(
        name="writes are neither fenced nor compared",
        protocol=Protocol(kind=DRAFT, fences_writes=False),
        heeding={Verdict.DUPLICATE},
        verdict=Verdict.DUPLICATE,
    ),
    Variant(
        name="taken over from the living, without a fence",
        protocol=Protocol(kind=DRAFT, respects_leases=False, fences_writes=False),
        heeding={Verdict.DUPLICATE},
        verdict=Verdict.DUPLICATE,
    ),
    Variant(
        name="a refusal is believed that comes after a doubt",
        protocol=Protocol(kind=TOKEN, doubts_late_refusals=False),
        surroundings=Surroundings(refusals_come_and_go=True),
        verdict=Verdict.DENIED,
    ),
    Variant(
        name="a refusal is believed that comes after a doubt",
        protocol=Protocol(kind=DRAFT, doubts_late_refusals=False),
        surroundings=Surroundings(refusals_come_and_go=True),
        verdict=Verdict.DENIED,
    ),
    Variant(
        name="a row of a restored database that is older than the horizon is not searched for",
        protocol=Protocol(kind=TOKEN, searches_for_old_rows=False),
        surroundings=_OLD_BACKUP,
        heeding=_NO_SECOND_RUN,
        verdict=Verdict.DUPLICATE,
    ),
)

HARMLESS: Sequence[Variant] = (
    Variant(
        name="nothing is searched for after a doubt: old doubts go to review",
        protocol=Protocol(kind=TOKEN, searches_after_a_doubt=False),
        surroundings=Surroundings(time_passes=True, service_forgets=True),
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="taken over from the living, with the fence",
        protocol=Protocol(kind=TOKEN, respects_leases=False),
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="writes are not fenced: no second run, though a run may be denied",
        protocol=Protocol(kind=TOKEN, fences_writes=False),
        heeding={Verdict.DUPLICATE, Verdict.MISTAKEN},
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="a person has it sent again without having looked, and the key is remembered",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(time_passes=True, person_is_hasty=True),
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="taken over from the living, with the fence",
        protocol=Protocol(kind=DRAFT, respects_leases=False),
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="writes are compared with the known draft, not fenced: no second run, though a run may be denied",
        protocol=Protocol(kind=DRAFT, fences_writes=False, compares_the_draft=True),
        heeding={Verdict.DUPLICATE, Verdict.MISTAKEN},
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="a later 'not now' takes a doubt back: what is recorded stays recorded",
        protocol=Protocol(kind=DRAFT, remembers_doubt=False),
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="the intent is not committed before the call: the recorded draft is the intent",
        protocol=Protocol(kind=DRAFT, commits_intent=False),
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="a person has it sent again without having looked",
        protocol=Protocol(kind=DRAFT),
        surroundings=Surroundings(time_passes=True, person_is_hasty=True),
        verdict=Verdict.SAFE,
    ),
)

UNPROVABLE: Sequence[Variant] = (
    Variant(
        name="keys are forgotten while requests that bear them are under way",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(time_passes=True, requests_outlive_memory=True),
        verdict=Verdict.DUPLICATE,
    ),
    Variant(
        name="a person has it sent again without having looked, and the key is forgotten",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(time_passes=True, service_forgets=True, person_is_hasty=True),
        verdict=Verdict.DUPLICATE,
    ),
    Variant(
        name="the database loses its last commit: a run may be denied",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(commit_gets_lost=True),
        verdict=Verdict.DENIED,
    ),
    Variant(
        name="the database loses its last commit: no second run, for the key survives",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(commit_gets_lost=True),
        heeding={Verdict.DUPLICATE},
        verdict=Verdict.SAFE,
    ),
    Variant(
        name="the database loses its last commit",
        protocol=Protocol(kind=DRAFT),
        surroundings=Surroundings(commit_gets_lost=True),
        heeding={Verdict.DUPLICATE},
        verdict=Verdict.DUPLICATE,
    ),
    Variant(
        name="the database is restored within the horizon: a run may be denied",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(is_restored=True),
        verdict=Verdict.DENIED,
    ),
    Variant(
        name="the database is restored after the horizon, and what was started is not listed",
        protocol=Protocol(kind=TOKEN),
        surroundings=Surroundings(is_restored=True, horizon_passes=True),
        heeding=_NO_SECOND_RUN,
        verdict=Verdict.DUPLICATE,
    ),
)

VARIANTS = (*AS_IT_IS, *BROKEN, *HARMLESS, *UNPROVABLE)
