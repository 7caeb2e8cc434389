"""The catalogue of mutants stays valid, and the runner tells detected mutants from missed ones."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutations import changes
from tests.mutations.catalogue.mutants import MUTANTS
from tests.mutations.mutant import Mutant, Variable
from tests.mutations.picks import NoPlace, entry, the
from tests.mutations.runner import MutantRunner, mutant_runner
from tests.mutations.workspace import Verdict
from wes_daemon.domain import states

ROOT = Path(__file__).parents[2]
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}

# One mutant of each layer, whose tests do no I/O.
QUICK = [BY_NAME[name] for name in ("wait-does-not-grow", "no-fence-in-memory", "circuit-never-opens")]


@pytest.fixture(scope="module")
def runner() -> Iterator[MutantRunner]:
    with mutant_runner(jobs=1) as made:
        yield made


def test_each_mutant_has_a_name_of_its_own() -> None:
    assert [name for name, times in Counter(mutant.name for mutant in MUTANTS).items() if times > 1] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=BY_NAME)
def test_each_mutant_changes_the_code_and_leaves_valid_python(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text()

    planted = mutant.planted_in(text)

    assert ast.dump(ast.parse(planted)) != ast.dump(ast.parse(text))
    compile(planted, mutant.path, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=BY_NAME)
def test_each_mutant_names_tests_that_exist(mutant: Mutant) -> None:
    suites = [*(ROOT / "tests/contracts").glob("*.py"), *(ROOT / "src/wes_daemon/testing").glob("*_contract.py")]
    contracts = "".join(path.read_text() for path in suites)

    for test in mutant.tests:
        file, *names = test.partition("[")[0].split("::")
        text = (ROOT / file).read_text() + contracts
        assert [name for name in names if not re.search(rf"^\s*(?:class|def) {name}\b", text, re.MULTILINE)] == []


class TestPlaces:
    mutant = BY_NAME["wait-does-not-grow"]

    def test_a_function_is_found_wherever_it_stands(self) -> None:
        moved = "class Other:\n    def wait_after(self): return 1 * self.first_wait\n"
        text = f"{moved}class SubmissionPolicy:\n    def wait_after(self): return self.first_wait * 2\n"

        assert ast.unparse(ast.parse(text)).replace("self.first_wait * 2", "self.first_wait") == self.planted(text)

    def test_a_file_without_the_function_is_refused(self) -> None:
        with pytest.raises(NoPlace, match=r"wait-does-not-grow .* SubmissionPolicy.wait_after is defined 0 times"):
            self.planted("class SubmissionPolicy: ...")

    def test_a_function_without_the_node_is_refused(self) -> None:
        with pytest.raises(NoPlace, match="`BinOp uses first_wait` matches 0 nodes"):
            self.planted("class SubmissionPolicy:\n    def wait_after(self): return self.first_wait")

    def test_a_property_is_found_by_its_getter(self) -> None:
        assert replace(self.mutant, at=Mutant.path).path == Path("tests/mutations/mutant.py")

    def test_a_variable_is_found_by_its_value(self) -> None:
        variable = Variable(states, states.FOLLOWS)

        assert variable.name == "FOLLOWS"
        assert replace(self.mutant, at=variable).path == Path("src/wes_daemon/domain/states.py")

    def test_a_value_that_no_variable_has_is_refused(self) -> None:
        with pytest.raises(NoPlace, match=r"0 variables of wes_daemon.domain.states have this value"):
            Variable(states, object()).name  # noqa: B018 - reading it raises

    def test_a_change_that_brings_an_unknown_name_in_is_refused(self) -> None:
        misspelt = replace(self.mutant, change=changes.replace(the(ast.Return), "return of_another_file"))

        with pytest.raises(NoPlace, match="does not know of_another_file"):
            misspelt.planted_in((ROOT / self.mutant.path).read_text())

    def planted(self, text: str) -> str:
        return self.mutant.planted_in(text)


@pytest.mark.nightly
class TestRunner:
    def test_a_mutant_is_detected_by_the_tests_that_it_names(self, runner: MutantRunner) -> None:
        baseline = runner.baseline(QUICK)

        trials = list(runner.trials(QUICK))

        assert baseline.verdict is Verdict.PASSED, baseline.detail
        assert [(trial.mutant.name, trial.outcome) for trial in trials if not trial.is_detected] == []

    def test_a_mutant_that_breaks_nothing_is_not_detected(self, runner: MutantRunner) -> None:
        harmless = replace(QUICK[0], change=changes.in_turn())

        [trial] = runner.trials([harmless])

        assert trial.outcome.verdict is Verdict.PASSED
        assert not trial.is_detected

    def test_a_mutant_whose_tests_cannot_be_run_is_not_detected(self, runner: MutantRunner) -> None:
        astray = replace(QUICK[0], tests=["tests/unit/there_is_no_such_file.py"])

        [trial] = runner.trials([astray])

        assert trial.outcome.verdict is Verdict.BROKEN
        assert not trial.is_detected

    def test_a_mutant_without_a_place_is_not_detected(self, runner: MutantRunner) -> None:
        outdated = replace(QUICK[0], change=changes.drop(entry("no such key")))

        [trial] = runner.trials([outdated])

        assert trial.outcome.verdict is Verdict.BROKEN
        assert "the key no such key occurs 0 times" in trial.outcome.detail
