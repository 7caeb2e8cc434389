"""The real daemon with the local provider, as processes of its own."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.integration.providers.local_harness import CWL


class Site:
    """A machine with a daemon and the local provider.

    Args:
        settings: further variables of the daemon's environment.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.workdir = folder / "runs"
        self._environment = {
            **os.environ,
            "DATABASE_URI": f"sqlite:///{folder / 'runs.db'}",
            "DAEMON_DEFAULT_PROVIDER": "local",
            "DAEMON_LOCAL_WORKDIR": str(self.workdir),
            "DAEMON_MAX_CONCURRENT_WORKFLOWS": "3",
            "DAEMON_LEASE_SECONDS": "5",
            "DAEMON_POLL_INTERVAL": "1",
            "DAEMON_STATUS_CHECK_INTERVAL": "2",
            "DAEMON_STATUS_CHECK_FLOOR": "1",
            **settings,
        }
        self.daemon = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the daemon."""
        with (self.folder / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(self._program(), env=self._environment, stdout=log, stderr=log)
        return self.daemon

    def restart(self) -> None:
        """Kill the daemon, and start another one."""
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()
        self.start()

    def call(self, *arguments: str) -> str:
        """Call a command of the command line; return what it prints."""
        return subprocess.run(
            self._program(*arguments), env=self._environment, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    def submit(self, document: str, *inputs: str) -> str:
        """Queue a run; return its id."""
        return self.call("submit", str(CWL / document), *inputs).strip()

    def show(self, id: str) -> Any:
        """Everything about a run."""
        return json.loads(self.call("show", id, "--json"))

    def states(self) -> Mapping[str, str]:
        """The state of each run."""
        with closing(sqlite3.connect(self.folder / "runs.db")) as database:
            return dict(database.execute("select run_id, state from workflow_runs"))

    def close(self) -> None:
        """End the daemon; its runs have ended."""
        self.daemon.terminate()
        self.daemon.wait(60)

    def _program(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "wes_daemon", *arguments]
