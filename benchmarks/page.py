"""The page: machine, a table of targets, and each figure with its finding."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.figure import Value
from benchmarks.numbers import shown
from benchmarks.results import Result

FINDINGS = Path(__file__).with_name("findings")

_HEAD = """# Benchmarks

What the daemon costs, and where its limits are.
`just bench` writes this page; the findings are written by hand in `benchmarks/findings`.
Each number is the median of several runs, each in a fresh process.
A value that is compared with a limit or with another program is a ratio of values that were measured together.
The database and the simulated services run on the same machine and share its cores, and a commit is confirmed when it is on the disk.
"""  # noqa: E501 - one sentence per line, as in all documents


def page(results: Mapping[str, Result], findings: Mapping[str, str], plots: str) -> str:
    """Return the page as Markdown.

    Args:
        results: by the names of the figures, in their order.
        findings: by the names of the figures; copied unchanged.
        plots: the folder of the plots, relative to the page.
    """
    parts = [_HEAD, _machine(results), _targets(results)]
    parts += [_figure(name, result, findings.get(name, ""), plots) for name, result in results.items()]
    return "\n".join(parts)


def read_findings() -> Mapping[str, str]:
    """Return the findings by the names of the figures."""
    return {path.stem: path.read_text(encoding="utf-8").strip() for path in FINDINGS.glob("*.md")}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    written = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in written) + "\n"


def verdict(value: Value) -> str:
    """Return whether the target is met, as text; empty if there is no target."""
    return {True: "met", False: "**not met**", None: ""}[value.is_met]


def amount(value: Value) -> str:
    """Return the number with its unit."""
    return f"{shown(value.value)} {value.unit}".strip()


def _machine(results: Mapping[str, Result]) -> str:
    latest = max((result.environment for result in results.values()), key=lambda found: found["date"], default={})
    rows = [(name, text) for name, text in latest.items() if name not in ("date", "commit")]
    return "## Measured on\n\n" + table(("part", "value"), rows)


def _targets(results: Mapping[str, Result]) -> str:
    rows = [row for result in results.values() for row in _target_rows(result)]
    return "## Targets\n\n" + table(("figure", "value", "measured", "target", ""), rows)


def _target_rows(result: Result) -> Iterator[Sequence[str]]:
    link = f"[{result.title}](#{_anchor(result.title)})"
    if result.problem:
        yield link, "", "not measured", "", "**not met**"
    for value in result.values:
        if value.is_met is not None:
            yield link, value.name, amount(value), f"{value.target} {value.unit}".strip(), verdict(value)


def _figure(name: str, result: Result, finding: str, plots: str) -> str:
    parts = [f"## {result.title}\n"]
    if result.problem:
        parts.append(f"Not measured: {result.problem}.\n")
    if result.method:
        parts.append("\n".join(result.method) + "\n")
    if result.values:
        rows = [(value.name, amount(value), value.spread, value.target, verdict(value)) for value in result.values]
        parts.append(table(("value", "median", "lowest to highest", "target", ""), rows))
    parts += [f"![{result.title}]({plots}/{file})\n" for file in result.plots]
    when, commit = result.environment["date"], result.environment["commit"]
    parts.append(f"Measured on {when} at commit `{commit}`; `just bench {name}` repeats it.\n")
    if finding:
        parts.append(finding + "\n")
    return "\n".join(parts)


def _anchor(title: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    letters = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return letters.replace(" ", "-")
