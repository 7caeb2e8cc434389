"""Mutants of the public test kit: a suite that permits too much finds no broken provider."""

import ast
from collections.abc import Sequence

from tests.mutations.changes import drop, replace
from tests.mutations.mutant import Mutant
from tests.mutations.picks import the
from wes_daemon.testing.harness import accept_again, repeated

_SUITE = "tests/unit/testing/test_provider_contract.py"

TESTING: Sequence[Mutant] = (
    Mutant(
        name="suite-permits-doubt",
        breaks="The contract suite accepts a provider with keys that leaves each lost answer in doubt.",
        at=accept_again,
        change=drop(the(ast.Raise)),
        tests=[_SUITE],
    ),
    Mutant(
        name="suite-sends-keyless-requests-again",
        breaks="The contract suite does not say that an earlier attempt may have started the run.",
        at=repeated,
        change=replace(the(ast.IfExp), lambda it: it.orelse),
        tests=[_SUITE],
    ),
)
