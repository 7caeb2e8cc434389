"""The list of bugs does not rot, and planting them tells those that are found from those that are not."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutations.mutant import Mutant, NoPlace
from tests.mutations.mutants import MUTANTS
from tests.mutations.planting import Garden, garden
from tests.mutations.workspace import Verdict

ROOT = Path(__file__).parents[2]
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}

# One of each room, whose tests do no I/O.
QUICK = [BY_NAME[name] for name in ("wait-does-not-grow", "no-fence-in-memory", "circuit-never-opens")]


@pytest.fixture(scope="module")
def copy() -> Iterator[Garden]:
    with garden(jobs=1) as copies:
        yield copies


def test_each_bug_has_a_name_of_its_own() -> None:
    assert [name for name, times in Counter(mutant.name for mutant in MUTANTS).items() if times > 1] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=BY_NAME)
def test_each_bug_has_its_place_and_leaves_python_behind(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text()

    planted = mutant.planted_in(text)

    assert planted != text
    compile(planted, mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=BY_NAME)
def test_each_bug_names_tests_that_exist(mutant: Mutant) -> None:
    contracts = "".join(path.read_text() for path in (ROOT / "tests" / "contracts").glob("*.py"))

    for test in mutant.tests:
        file, *names = test.partition("[")[0].split("::")
        text = (ROOT / file).read_text() + contracts
        assert [name for name in names if not re.search(rf"^\s*(?:class|def) {name}\b", text, re.MULTILINE)] == []


def test_a_text_that_is_not_there_once_is_refused() -> None:
    with pytest.raises(NoPlace, match="has its text 2 times"):
        replace(QUICK[0], old="a").planted_in("a, a")


def test_a_bug_is_found_by_the_tests_that_it_names(copy: Garden) -> None:
    healthy = copy.without_bugs(QUICK)

    trials = list(copy.trials(QUICK))

    assert healthy.verdict is Verdict.PASSED, healthy.words
    assert [(trial.mutant.name, trial.outcome) for trial in trials if not trial.is_found] == []


def test_what_breaks_nothing_is_not_found(copy: Garden) -> None:
    harmless = replace(QUICK[0], new=f"{QUICK[0].old}  # as before")

    [trial] = copy.trials([harmless])

    assert trial.outcome.verdict is Verdict.PASSED
    assert not trial.is_found


def test_tests_that_cannot_be_run_find_nothing(copy: Garden) -> None:
    astray = replace(QUICK[0], tests=["tests/unit/there_is_no_such_file.py"])

    [trial] = copy.trials([astray])

    assert trial.outcome.verdict is Verdict.BROKEN
    assert not trial.is_found
