"""Container engines: which of them the machine has, and how to stop the containers of a run."""

import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from wes_daemon.adapters.providers.local.engine_parameters import ContainerEngine, run_environment
from wes_daemon.application.ports.environment import Clock

_INFO_TIMEOUT = timedelta(seconds=5)
_KILL_TIMEOUT = timedelta(seconds=20)
_CACHED_FOR = timedelta(minutes=5)


class ContainerEngines:
    """Detects the machine's container engine and caches the answer for five minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: ContainerEngine = ContainerEngine.NONE
        self._detected_at: datetime | None = None

    def preferred(self) -> ContainerEngine:
        """Return Docker if its engine answers, else Podman if it answers, else `NONE`."""
        with self._lock:
            now = self._clock.now()
            if self._detected_at is None or now - self._detected_at > _CACHED_FOR:
                self._found, self._detected_at = _detect(), now
            return self._found


def stop_containers(ids: Path, engine: ContainerEngine | None) -> None:
    """Stop and remove the containers whose ids are in the files of the directory `ids`; ended ones are no error."""
    if engine not in (ContainerEngine.DOCKER, ContainerEngine.PODMAN):
        return  # The other engines run containers as processes of the run.
    found = [path.read_text(encoding="ascii", errors="replace").strip() for path in ids.glob("*.cid")]
    if valid := [id for id in found if id.isalnum()]:
        # Not `kill`: Podman cannot kill a container that it has created and not started yet, and keeps one whose
        # supervisor was killed with the processes of the run.
        _succeeds(engine, ["rm", "--force", *valid], timeout=_KILL_TIMEOUT)


def _detect() -> ContainerEngine:
    for engine in (ContainerEngine.DOCKER, ContainerEngine.PODMAN):
        if shutil.which(engine) and _succeeds(engine, ["info"], timeout=_INFO_TIMEOUT):
            return engine
    return ContainerEngine.NONE


def _succeeds(engine: ContainerEngine, arguments: Sequence[str], *, timeout: timedelta) -> bool:
    with suppress(OSError, subprocess.TimeoutExpired):
        completed = subprocess.run(
            [engine.value, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=run_environment(os.environ),
            timeout=timeout.total_seconds(),
            check=False,
        )
        return completed.returncode == 0
    return False
