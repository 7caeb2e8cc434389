"""The submission protocol, searched in every order in which a few daemons, requests and accidents can meet.

Two daemons and two or three claims show in seconds what the larger sizes of `python -m tests.model` show in minutes.
"""

import pytest

from tests.model.search import Verdict
from tests.model.variants import AS_IT_IS, BROKEN, HARMLESS, UNPROVABLE, Variant
from tests.model.world import Kind, Size

SIZES = {
    # What a key starts is little to look at, and some of what goes wrong takes a third claim.
    Kind.TOKEN: Size(daemons=2, claims=3, tasks=2),
    Kind.DRAFT: Size(daemons=2, claims=2, tasks=2),
}


FLOORS = (2_000, 5_000, 10_000, 20_000, 1_000, 5_000, 5_000, 5_000)


@pytest.mark.parametrize(("variant", "floor"), list(zip(AS_IT_IS, FLOORS, strict=True)), ids=str)
def test_the_protocol_keeps_its_promises_in_every_order_of_events(variant: Variant, floor: int) -> None:
    """The floor is there because a model that explores nothing finds nothing."""
    finding = variant.search(SIZES[variant.protocol.kind])

    assert finding.verdict is Verdict.SAFE, finding.way
    assert finding.states > floor


@pytest.mark.parametrize("variant", BROKEN, ids=str)
def test_a_protocol_that_leaves_out_a_part_breaks_a_promise(variant: Variant) -> None:
    finding = variant.search(SIZES[variant.protocol.kind])

    assert finding.verdict is variant.verdict, finding.way
    assert finding.way


@pytest.mark.parametrize("variant", HARMLESS, ids=str)
def test_what_the_protocol_could_do_without_breaks_nothing(variant: Variant) -> None:
    finding = variant.search(SIZES[variant.protocol.kind])

    assert finding.verdict is variant.verdict, finding.way
    assert finding.states > 700


@pytest.mark.parametrize("variant", UNPROVABLE, ids=str)
def test_outside_the_conditions_of_the_promise_it_is_known_what_breaks(variant: Variant) -> None:
    """`docs/protocol.md` says what each of these means."""
    finding = variant.search(SIZES[variant.protocol.kind])

    assert finding.verdict is variant.verdict, finding.way
