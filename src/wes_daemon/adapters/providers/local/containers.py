"""Container engines: which one this machine has, and how to stop what it was left with."""

import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine
from wes_daemon.adapters.providers.local.environment import run_environment
from wes_daemon.application.ports.environment import Clock

_ANSWERS_WITHIN = timedelta(seconds=5)
_STOPS_WITHIN = timedelta(seconds=20)
_REMEMBERED = timedelta(minutes=5)


class ContainerEngines:
    """Knows which engine answers, and asks again only after a while."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: ContainerEngine = ContainerEngine.NONE
        self._asked_at: datetime | None = None

    def preferred(self) -> ContainerEngine:
        """docker where it answers, else podman, else none."""
        with self._lock:
            now = self._clock.now()
            if self._asked_at is None or now - self._asked_at > _REMEMBERED:
                self._found, self._asked_at = _first_that_answers(), now
            return self._found


def stop_containers(ids: Path, engine: ContainerEngine | None) -> None:
    """Stop the containers whose ids lie in the directory `ids`; those that have ended do not matter."""
    if engine not in (ContainerEngine.DOCKER, ContainerEngine.PODMAN):
        return  # the others run containers as processes of the run
    found = [path.read_text(encoding="ascii", errors="replace").strip() for path in ids.glob("*.cid")]
    if named := [id for id in found if id.isalnum()]:
        _ask(engine, ["kill", *named], _STOPS_WITHIN)


def _first_that_answers() -> ContainerEngine:
    for engine in (ContainerEngine.DOCKER, ContainerEngine.PODMAN):
        if shutil.which(engine) and _ask(engine, ["info"], _ANSWERS_WITHIN):
            return engine
    return ContainerEngine.NONE


def _ask(engine: ContainerEngine, words: Sequence[str], within: timedelta) -> bool:
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [engine.value, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=run_environment(os.environ),
            timeout=within.total_seconds(),
            check=False,
        )
        return done.returncode == 0
    return False
