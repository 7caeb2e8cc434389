"""The conformance tests of the CWL standard, and the CWL runners that execute them.

cwltest reads the tests, calls a runner for each, and compares the outputs with the expected ones.
"""

import logging
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cwltest import UNSUPPORTED_FEATURE, utils

TESTS_FILE = "conformance_tests.yaml"

_RUNNER = Path(__file__).with_name("runner.py")
_TIMEOUT = 900
_CONTAINER_OPTIONS: Mapping[str, Sequence[str]] = {
    "none": ("--no-container",),
    "docker": (),
    "podman": ("--podman",),
}
_NAMED_DOCUMENT = re.compile(r"""\b(?:run|\$import)["']?:\s*["']?(?P<name>[^\s"',}]+)""")


class Outcome(StrEnum):
    """What came of a test; a runner that does not support what a test requires may say so."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test of the suite.

    Attributes:
        number: from 1, its place in the suite.
        kinds: its tags.
        entry: the test as cwltest reads it.
    """

    number: int
    name: str
    kinds: Sequence[str]
    entry: Mapping[str, Any]

    @property
    def names_container(self) -> bool:
        """Whether its document, or one that it runs, names a container as a requirement or as a hint."""
        return any("DockerRequirement" in text for text in _texts(_path(str(self.entry["tool"]))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one test; `error` is the runner's standard error and the difference of the outputs."""

    case: Case
    outcome: Outcome
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A CWL runner: a program and the arguments that precede cwltest's."""

    program: str
    arguments: Sequence[str]

    def run(self, case: Case) -> Result:
        """Execute one test."""
        config = utils.CWLTestConfig(
            entry=str(case.entry["id"]),
            entry_line=str(case.entry["line"]),
            tool=self.program,
            args=list(self.arguments),
            timeout=_TIMEOUT,
        )
        result = utils.run_test_plain(config, dict(case.entry), case.number)
        error = "\n".join(part for part in (result.error_output.strip(), result.message) if part)
        return Result(case=case, outcome=_outcome(result.return_code), error=error)


def cwltool_alone(container: str, search_path: str) -> Runner:
    """Return cwltool as the standard's authors run it; `search_path` is the variable PATH."""
    # Not `python -m cwltool`, which ends with 0 whatever happened.
    program = str(Path(sys.executable).with_name("cwltool"))
    return Runner(program="env", arguments=[f"PATH={search_path}", program, *_CONTAINER_OPTIONS[container]])


def through_daemon(container: str, settings: Mapping[str, str]) -> Runner:
    """Return the runner that submits to a daemon; `settings` are the variables that name its database."""
    variables = [f"{name}={value}" for name, value in settings.items()]
    return Runner(program="env", arguments=[*variables, sys.executable, str(_RUNNER), f"--container={container}"])


def load_cases(suite: Path) -> Sequence[Case]:
    """Read the tests of a copy of the standard's repository."""
    logging.getLogger("cwltest").setLevel(logging.CRITICAL)  # Each result says what cwltest would log.
    entries, _ = utils.load_and_validate_tests(str(suite / TESTS_FILE))
    return [
        Case(number=number, name=utils.shortname(entry["id"]), kinds=entry.get("tags", ["required"]), entry=entry)
        for number, entry in enumerate(entries, start=1)
    ]


def run_cases(
    runner: Runner, cases: Collection[Case], *, at_once: int, report: Callable[[Result], None]
) -> Sequence[Result]:
    """Execute tests, several at a time; `report` is called with each result in the order of the tests."""
    with ThreadPoolExecutor(at_once) as threads:
        results = []
        for result in threads.map(runner.run, cases):
            report(result)
            results.append(result)
        return results


def _outcome(code: int) -> Outcome:
    return {0: Outcome.PASSED, UNSUPPORTED_FEATURE: Outcome.UNSUPPORTED}.get(code, Outcome.FAILED)


def _texts(document: Path, seen: frozenset[Path] = frozenset()) -> Iterator[str]:
    """Return the texts of a document and of those that it names."""
    if document in seen or not document.is_file():
        return iter(())
    text = document.read_text(encoding="utf-8")
    named = (document.parent / found["name"].partition("#")[0] for found in _NAMED_DOCUMENT.finditer(text))
    return chain([text], *(_texts(path, seen | {document}) for path in named))


def _path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))
