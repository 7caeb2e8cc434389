"""What campaigns came to, as people read it."""

from collections import Counter
from collections.abc import Sequence

from tests.faults.campaign import Outcome
from tests.faults.judge import shown

_HEADINGS = ("kind", "injected", "runs", "lost", "twice")


def table(outcomes: Sequence[Outcome]) -> str:
    """One line for each kind of fault; runs that met several kinds stand in each of their lines."""
    kinds = sorted({kind for outcome in outcomes for kind in outcome.injected})
    lines = [_line(kind, [outcome for outcome in outcomes if outcome.injected.get(kind)], [kind]) for kind in kinds]
    lines.append(_line("all", outcomes, kinds))
    width = max(len(line[0]) for line in lines)
    return "\n".join(
        f"{kind:<{width}}  {injected:>8}  {runs:>6}  {lost:>5}  {twice:>5}"
        for kind, injected, runs, lost, twice in [_HEADINGS, *lines]
    )


def story(outcome: Outcome) -> str:
    """One line for a campaign that went well, and all that was wrong for any other."""
    verdict = outcome.verdict
    faults = " ".join(f"{kind!r}={number}" for kind, number in sorted(outcome.injected.items()))
    told = f"{outcome.name} seed={outcome.seed} seconds={outcome.seconds} runs={verdict.runs} {faults}"
    told += f" review={verdict.review} surplus_drafts={verdict.surplus_drafts}"
    notes = "".join(f"\n  note: {note}" for note in outcome.notes)
    if verdict.is_good:
        return f"ok    {told}{notes}"
    return f"WRONG {told}{notes}{_wrong(outcome)}"


def _wrong(outcome: Outcome) -> str:
    verdict = outcome.verdict
    lost = f"\n  lost: {' '.join(verdict.lost)}" if verdict.lost else ""
    twice = f"\n  started twice: {' '.join(verdict.twice)}" if verdict.twice else ""
    return f"{lost}{twice}{shown(verdict.problems)}"


def _line(name: str, outcomes: Sequence[Outcome], kinds: Sequence[str]) -> tuple[str, int, int, int, int]:
    injected: Counter[str] = sum((Counter(outcome.injected) for outcome in outcomes), Counter())
    verdicts = [outcome.verdict for outcome in outcomes]
    return (
        name,
        sum(injected[kind] for kind in kinds),
        sum(verdict.runs for verdict in verdicts),
        sum(len(verdict.lost) for verdict in verdicts),
        sum(len(verdict.twice) for verdict in verdicts),
    )
