"""Code and documents use the terms of docs/glossary.md and none of the words that these terms replaced."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("src", "docs", "README.md", "CONTRIBUTING.md")

REPLACED: dict[str, str] = {
    r"incarnations?": "daemon session",
    r"sightings?": "status report",
    r"beats?|rhythm": "loop",
    r"hurr(?:y|ied)|hasten(?:ed)?": "make due",
    r"strangers?": "foreign run",
    r"mend(?:s|ed|er|ing|ings)?|remed(?:y|ies)": "repair",
    r"ledgers?": "reconcile queries",
    r"breach(?:es)?|gravity": "violation, severity",
    r"bury|buried|epitaph": "finalise",
    r"complaints?|complains?|complained": "failure message, log",
    r"agenda": "work probe",
    r"chunk(?:s|ed|ing)?": "batching",
    r"passing trouble|troubles?": "transient error",
    r"put(?:s|ting)? off|put_off": "defer",
    r"left behind|adoptable": "takeover",
    r"unsettled|unresolved": "in doubt",
    r"patience|patient": "tolerances, longest wait",
    r"caps?|capped": "concurrency limit",
    r"submission key": "idempotency key",
    r"bears? our mark|our marks?|marked runs?|marked_runs?": "run ownership marker, owned run",
    r"turns? of (?:its|their) own|(?:its|their|whose|his) turn|take_turns?|take a turn": "poll due, call queue",
    r"budgets?": "quota",
    r"on behalf of|for whom": "call priority",
    r"discard(?:s|ed)? (?:a |the |of )?drafts?|discarded": "delete draft",
    r"whoever|nobody|somebody|anybody": "the subject's name",
    r"as the port says|as the inner provider": "nothing",
    r"gathering": "group commit",
    r"heed|heeds": "observe",
}
"""A pattern of words, and the term that replaced them."""

STORED = re.compile(
    r"provider_budgets|provider_looks|claim_seq|held_until|taken_at|seen_until"
    r"|--cancel-strangers|cap-is-kept|LIVE_PATIENCE_SECONDS"
)
"""Names that users and databases depend on, which stay: tables, columns, options, checks, variables."""


def lines() -> Iterator[tuple[str, str]]:
    """Yield place and text of each line, without the names that stay."""
    for place in PLACES:
        path = ROOT / place
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.suffix not in (".py", ".md"):
                continue
            for number, line in enumerate(file.read_text().splitlines(), start=1):
                yield f"{file.relative_to(ROOT)}:{number}", STORED.sub("", line)


@pytest.mark.parametrize("pattern", REPLACED)
def test_a_replaced_word_is_not_used(pattern: str) -> None:
    word = re.compile(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", re.IGNORECASE)

    found = [f"{place}: {line.strip()}" for place, line in lines() if word.search(line)]

    assert found == [], f"write {REPLACED[pattern]!r} instead"
