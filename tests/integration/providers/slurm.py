"""A real Slurm cluster of one node, with all of its files in a folder, for tests as root."""

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tests.integration.providers.local_harness import wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")

_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A running cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.configuration = folder / "slurm.conf"

    def queue(self) -> Sequence[str]:
        """The jobs that wait or run, with their states."""
        return self.call("squeue", "--noheader", "--format=%i %T %j").splitlines()

    def ended_jobs(self) -> Sequence[Mapping[str, str]]:
        """The jobs that have ended, as Slurm's completion log has them: `Name`, `JobState`, `WorkDir` and others."""
        log = self._folder / "jobs"
        lines = log.read_text().splitlines() if log.exists() else []
        return [dict(word.partition("=")[::2] for word in line.split()) for line in lines]

    def call(self, *command: str) -> str:
        """Call one of Slurm's programs; return what it prints."""
        return subprocess.run(
            command, env={**os.environ, **self.variables}, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables with which programs find the cluster."""
        return {"SLURM_CONF": str(self.configuration)}


def missing() -> str:
    """Why there can be no cluster here; empty if there can be one."""
    if os.geteuid():
        return "Slurm needs root here"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(absent)} not installed: apt-get install slurm-wlm munge" if absent else ""


@contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """Start a cluster; end it and its jobs."""
    slurm = Slurm(folder)
    _prepare(folder, slurm.configuration)
    key, socket_path = str(folder / "munge.key"), str(folder / "munge.socket")
    files = ("--key-file", key, "--socket", socket_path, "--pid-file", str(folder / "munged.pid"))
    munged = ("munged", "--foreground", "--force", *files, "--seed-file", str(folder / "seed"))
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        _start(daemons, munged, folder)
        wait_until(Path(socket_path).exists, "munged to listen")
        for program in ("slurmctld", "slurmd"):
            _start(daemons, (program, "-D", "-f", str(slurm.configuration)), folder)
        wait_until(lambda: _is_idle(slurm), "the node to be idle")
        yield slurm
        for job in slurm.queue():
            slurm.call("scancel", job.split()[0])
        wait_until(lambda: not slurm.queue(), "the jobs to end")
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(60)


def _prepare(folder: Path, configuration: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    ports = {"controller_port": _free_port(), "node_port": _free_port()}
    configuration.write_text(_CONFIGURATION.format(folder=folder, host=host, cpus=os.cpu_count(), **ports))


def _start(daemons: list["subprocess.Popen[bytes]"], command: Sequence[str], folder: Path) -> None:
    with (folder / f"{command[0]}.out").open("wb") as log:
        daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))


def _is_idle(slurm: Slurm) -> bool:
    try:
        return "idle" in slurm.call("sinfo", "--noheader", "--format=%T")
    except subprocess.CalledProcessError:
        return False  # The controller does not listen yet.


def _free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
