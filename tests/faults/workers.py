"""Campaigns in a few processes at a time: each has simulators, databases and daemons of its own."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from tests.faults.campaign import Outcome, carry_out
from tests.faults.catalogue import campaigns
from tests.faults.databases import Databases
from tests.faults.judge import Verdict

Order = tuple[str, int]
"""A campaign's name and a seed."""

# What comes before and after the faults: servers start, and the judge reads.
_BESIDES_SECONDS = 120


def work(orders: IO[str], answers: IO[str], directory: Path, slower: float) -> None:
    """Carry out what is read, a line each, and answer each with a line."""
    known = campaigns()
    with Databases(directory) as databases:
        for line in orders:
            name, seed = json.loads(line)
            place = directory / f"{name}-{seed}"
            place.mkdir()
            outcome = carry_out(known[name].slower(slower), databases, place, seed)
            answers.write(json.dumps(outcome.as_json()) + "\n")
            answers.flush()


def carried_out(orders: Sequence[Order], *, at_once: int, directory: Path, slower: float) -> Iterator[Outcome]:
    """What each came to, as soon as it is known; `directory` is made for it."""
    directory.mkdir()
    waiting: SimpleQueue[Order] = SimpleQueue()
    for order in orders:
        waiting.put(order)
    answered: SimpleQueue[Outcome] = SimpleQueue()
    for number in range(at_once):
        place = directory / f"worker-{number}"
        place.mkdir()
        threading.Thread(target=_attend, args=(waiting, answered, place, slower), daemon=True).start()
    for _ in orders:
        yield answered.get()


def _attend(waiting: "SimpleQueue[Order]", answered: "SimpleQueue[Outcome]", directory: Path, slower: float) -> None:
    """Give one process an order after another; one that does not answer in time is replaced."""
    worker = _Worker(directory, slower)
    try:
        while True:
            name, seed = waiting.get_nowait()
            outcome = worker.carry_out(name, seed)
            if outcome is None:
                worker.end()
                worker = _Worker(directory, slower)
            answered.put(outcome or _unanswered(name, seed))
    except Empty:
        worker.end()


class _Worker:
    def __init__(self, directory: Path, slower: float) -> None:
        self._slower = slower
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults", "work", str(directory), str(slower)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def carry_out(self, name: str, seed: int) -> Outcome | None:
        """What it came to; None where the process has given up, or had to be."""
        campaign = campaigns()[name].slower(self._slower)
        limit = threading.Timer(campaign.striking + campaign.settling + _BESIDES_SECONDS, self._process.kill)
        limit.start()
        try:
            answer = self._ask(json.dumps([name, seed]))
        finally:
            limit.cancel()
        return Outcome.from_json(json.loads(answer)) if answer else None

    def end(self) -> None:
        """Let it go; it puts away what is its own."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(60)

    def _ask(self, line: str) -> str:
        asking, answering = self._process.stdin, self._process.stdout
        assert asking is not None
        assert answering is not None
        try:
            asking.write(line + "\n")
            asking.flush()
            return answering.readline()
        except BrokenPipeError:
            return ""


def _unanswered(name: str, seed: int) -> Outcome:
    verdict = Verdict(runs=0, starts=0, problems=["the campaign did not come to an end, see above"])
    return Outcome(name=name, seed=seed, injected={}, verdict=verdict, notes=[], seconds=0)
