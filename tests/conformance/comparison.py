"""Compares what two runners make of the same tests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from tests.conformance.suite import Outcome, Result

ALL = "all"
_COLUMNS = (Outcome.PASSED, Outcome.FAILED, Outcome.UNSUPPORTED)


def differences(alone: Sequence[Result], daemon: Sequence[Result]) -> Sequence[tuple[Result, Result]]:
    """Return the results of cwltool alone and through the daemon that differ."""
    pairs = zip(alone, daemon, strict=True)
    return [(expected, found) for expected, found in pairs if expected.outcome is not found.outcome]


def table(alone: Sequence[Result], daemon: Sequence[Result]) -> str:
    """Return the numbers of results by kind of test, as a table in Markdown; a test can be of several kinds."""
    names = [f"{runner}: {column}" for runner in ("cwltool", "daemon") for column in _COLUMNS]
    lines = [["kind", "tests", *names], ["---", *(["--:"] * (1 + len(names)))]]
    by_kind = (_by_kind(alone), _by_kind(daemon))
    for kind in [*sorted(by_kind[0].keys() - {ALL}), ALL]:
        counts = [counters[kind] for counters in by_kind]
        lines.append([kind, f"{counts[0].total()}", *(f"{count[column]}" for count in counts for column in _COLUMNS)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _by_kind(results: Sequence[Result]) -> Mapping[str, Counter[Outcome]]:
    kinds = {*chain.from_iterable(result.case.kinds for result in results), ALL}
    return {
        kind: Counter(result.outcome for result in results if kind == ALL or kind in result.case.kinds)
        for kind in kinds
    }
