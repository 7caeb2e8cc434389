"""Mutants of what people request: new runs, and the arguments of `submit`."""

import ast
from collections.abc import Sequence

from tests.mutations.changes import never
from tests.mutations.mutant import Mutant
from tests.mutations.picks import calls, the
from wes_daemon.application.requests import json_values
from wes_daemon.entrypoints.cli import run_request, submit
from wes_daemon.entrypoints.cli.local_files import is_file

_VALUES = "tests/unit/application/test_json_values.py"

REQUESTS: Sequence[Mutant] = (
    Mutant(
        name="not-a-number-is-stored",
        breaks="NaN is stored as the text NaN, and the run works on another value than was given.",
        at=json_values._finite,
        change=never(the(ast.If)),
        tests=[f"{_VALUES}::test_a_value_that_would_be_changed_is_refused_with_its_place"],
    ),
    Mutant(
        name="text-cannot-be-stored",
        breaks="A text with the character NUL is changed by the database, and the run works on another text.",
        at=json_values.exact_text,
        change=never(the(ast.If, nth=1)),
        tests=[f"{_VALUES}::test_the_texts_of_a_request_are_texts_that_a_database_can_hold"],
    ),
    Mutant(
        name="address-before-file",
        breaks="A workflow whose file name contains a # is not found.",
        at=run_request._find_workflow,
        change=never(the(ast.If, calls(is_file), nth=0)),
        tests=["tests/functional/test_submit.py::test_a_name_of_a_file_is_a_name_before_it_is_an_address"],
    ),
    Mutant(
        name="run-that-no-provider-takes",
        breaks="A run that no provider takes is queued, and ends only when the daemon submits it.",
        at=submit._require_taker,
        change=never(the(ast.If, nth=1)),
        tests=["tests/functional/test_mistakes.py::test_nothing_is_queued_by_a_mistake"],
    ),
)
