"""What every rule came to, for people and for programs."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from wes_daemon.application.ports.invariants import Finding, Gravity
from wes_daemon.application.use_cases.verify import Verdict
from wes_daemon.entrypoints.cli.documents import Document
from wes_daemon.entrypoints.cli.rendering import PersonsConsole
from wes_daemon.entrypoints.cli.wording import plain

_STYLES: Mapping[Gravity, str] = {Gravity.BROKEN: "bold red", Gravity.NOTICE: "yellow"}


def print_verdict(verdict: Verdict) -> None:
    """Print each rule, the first of the runs for which it does not hold, and the sum of it all."""
    console = PersonsConsole()
    console.put(_table(verdict))
    console.put(plain(_sum(verdict)))


def document(verdict: Verdict) -> Document:
    """The same for programs."""
    return {
        "broken": [found.rule.name for found in verdict.broken],
        "notices": [found.rule.name for found in verdict.notices],
        "rules": [_rule(found) for found in verdict.findings],
    }


def _rule(found: Finding) -> Document:
    return {
        "name": found.rule.name,
        "says": found.rule.says,
        "gravity": found.rule.gravity.value,
        "holds": found.holds,
        "runs": found.count,
        "first": [{"run_id": breach.run_id, "found": breach.found} for breach in found.first],
    }


def _table(verdict: Verdict) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("RULE", "STATE"):
        table.add_column(title, no_wrap=True)
    table.add_column("RUNS", justify="right")
    table.add_column("WHAT IT SAYS")
    for found in verdict.findings:
        table.add_row(plain(found.rule.name), _state(found), plain(found.count or ""), plain(found.rule.says))
        for line in _lines(found):
            table.add_row("", "", "", plain(line))
    return table


def _state(found: Finding) -> Text:
    gravity = found.rule.gravity
    return Text("holds", "green") if found.holds else Text(gravity.value, _STYLES[gravity])


def _lines(found: Finding) -> list[str]:
    rest = found.count - len(found.first)
    told = [f"  {breach.run_id}: {breach.found}" for breach in found.first]
    return [*told, f"  and {rest} more"] if rest else told


def _sum(verdict: Verdict) -> str:
    return f"broken: {_names(verdict.broken)}; notices: {_names(verdict.notices)}"


def _names(findings: Sequence[Finding]) -> str:
    return ", ".join(found.rule.name for found in findings) or "none"
