"""What must hold after whatever went wrong, judged by the clouds' ledgers and the database."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.faults.clouds import BAD, LONG, SHORT, Cloud, Start
from tests.faults.site import Site
from wes_daemon.entrypoints.cli.main import cli

# Not the package's own table: what judges shares no mistake with what is judged.
_ORDER = {"QUEUED": 0, "INITIALIZING": 1, "RUNNING": 2, "PAUSED": 2, "CANCELING": 3}
_END = 4
_PROPER_ENDS = {SHORT: {"COMPLETE"}, BAD: {"EXECUTOR_ERROR"}, LONG: {"CANCELED"}}
# An event and the error that is told with it; or an error that is told by nobody.
_BUGS = re.compile(r"^.* ERROR (?:daemon\.pass_failed|bug) .*\n(?:  \|.*\n)*|^Traceback(?:.*\n)*", re.MULTILINE)
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the judge has found.

    Attributes:
        lost: runs that have neither ended nor are in review.
        twice: runs of which a cloud has started more than one.
        problems: whatever else must not be.
        review: runs that a person has to look at.
        surplus_drafts: drafts that nobody will ever run, left at a cloud.
    """

    runs: int
    starts: int
    lost: Sequence[str] = ()
    twice: Sequence[str] = ()
    problems: Sequence[str] = ()
    review: int = 0
    surplus_drafts: int = 0

    @property
    def is_good(self) -> bool:
        """Whether everything held."""
        return not (self.lost or self.twice or self.problems)


@dataclass(frozen=True)
class _Row:
    run_id: str
    state: str
    start_time: datetime | None
    end_time: datetime | None
    tags: Mapping[str, Any] = field(default_factory=dict)
    submission: str | None = None
    held_as: str | None = None


def judge(site: Site, *, bugs_are_injected: bool = False) -> Verdict:
    """Look at everything, once all daemons have stopped.

    Args:
        bugs_are_injected: whether what looks like a bug in a log is the campaign's own doing.
    """
    rows = {row.run_id: row for row in _rows(site)}
    starts = [start for cloud in site.clouds for start in cloud.started()]
    problems = [
        *_foreign_runs(rows, starts),
        *_bad_ends(site, rows),
        *_steps_back(site),
        *_still_under_way(site),
        *(problem for cloud in site.clouds for problem in _over_cap(cloud, site.scale.cap)),
        *([] if bugs_are_injected else _bugs(site)),
        *_verified(site),
    ]
    return Verdict(
        runs=len(rows),
        starts=len(starts),
        lost=sorted(site.traffic.unsettled()),
        twice=sorted(key for key, number in Counter(start.key for start in starts).items() if number > 1),
        problems=problems,
        review=sum(row.submission == "REVIEW" for row in rows.values()),
        surplus_drafts=sum(len(cloud.drafts()) for cloud in site.clouds),
    )


def _rows(site: Site) -> Iterator[_Row]:
    statement = (
        "SELECT w.run_id, w.state, CAST(w.start_time AS TEXT), CAST(w.end_time AS TEXT), CAST(w.tags AS TEXT),"
        " s.state, s.provider_run_id FROM workflow_runs w LEFT JOIN submissions s ON s.run_id = w.run_id"
    )
    for run_id, state, start, end, tags, submission, held_as in site.database.rows(statement):
        yield _Row(run_id, state, _moment(start), _moment(end), json.loads(tags), submission, held_as)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _foreign_runs(rows: Mapping[str, _Row], starts: Sequence[Start]) -> Iterator[str]:
    """Each run of a cloud belongs to the one row whose key it bears, and that row names it."""
    for start in starts:
        row = rows.get(start.key.removeprefix("wes-"))
        if row is None:
            yield f"started {start.id} for {start.key}, which is nobody's"
        elif start.id not in (row.tags.get("provider_id"), row.held_as):
            yield f"started {start.id} for {start.key}, whose row says {row.tags.get('provider_id')} and {row.held_as}"
        elif row.tags.get("provider_id") != row.held_as:
            yield f"{row.run_id}: tagged {row.tags.get('provider_id')}, held as {row.held_as}"


def _bad_ends(site: Site, rows: Mapping[str, _Row]) -> Iterator[str]:
    for row in rows.values():
        if _rank(row.state) < _END:
            continue
        if row.end_time is None or (row.start_time is not None and row.end_time < row.start_time):
            yield f"{row.run_id}: {row.state} from {row.start_time} to {row.end_time}"
        proper = _PROPER_ENDS[site.traffic.fates[row.run_id]]
        if row.state not in proper | ({"CANCELED"} if row.run_id in site.traffic.cancelled else set()):
            yield f"{row.run_id}: ended {row.state}, {' or '.join(proper)} was due: {row.tags.get('error')}"


def _steps_back(site: Site) -> Iterator[str]:
    """No run goes back, and none changes once it has ended."""
    ways: dict[str, list[str]] = defaultdict(list)
    for run_id, before, after in site.database.rows("SELECT run_id, from_state, to_state FROM run_events ORDER BY id"):
        ways[run_id] += [before or "QUEUED", after]
    for run_id, way in ways.items():
        for before, after in pairwise(way):
            if _rank(after) < _rank(before) or (_rank(before) == _END and after != before):
                yield f"{run_id}: went from {before} to {after}: {' '.join(way)}"


def _rank(state: str) -> int:
    return _ORDER.get(state, _END)


def _still_under_way(site: Site) -> Iterator[str]:
    """What has ended here has ended there."""
    for cloud in site.clouds:
        for start in cloud.ledger.under_way.values():
            yield f"{start.key}: {start.id} still runs at {cloud.type}"


def _over_cap(cloud: Cloud, cap: int) -> Iterator[str]:
    ended = cloud.ledger.ended
    steps = [(start.at, 1) for start in cloud.started()] + [(at, -1) for at in ended.values()]
    active = highest = 0
    # An end makes room for a start of the same moment.
    for _, step in sorted(steps):
        active += step
        highest = max(highest, active)
    if highest > cap:
        yield f"{highest} runs at once at {cloud.type}, the cap is {cap}"


def _bugs(site: Site) -> Iterator[str]:
    for process in site.fleet.processes:
        for bug in _BUGS.findall(process.log_text()):
            lines = [line for line in bug.splitlines() if line.strip(" |")]
            yield f"{process.log}: {lines[0]} … {lines[-1]}"


def _verified(site: Site) -> Iterator[str]:
    if "verify" not in cli.commands:
        return
    process = site.fleet.launch("verify")
    if process.wait(60) != 0:
        yield f"wes-daemon verify ended with {process.exit_code}: {process.log_text()[-1000:]}"


def shown(problems: Sequence[str]) -> str:
    """The first of them, and how many there are."""
    more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "".join(f"\n  {problem}" for problem in problems[:_SHOWN]) + more
