"""A CWL runner that runs everything through the daemon: `runner.py [--outdir=DIRECTORY] [--quiet] DOCUMENT [JOB]`.

It queues the run with `wes-daemon submit`, waits for its end, prints its outputs as JSON, and ends as cwltool does.
The environment names the database, as for every command; a daemon has to be running.
A script of its own, and not a part of a package, because cwltest starts it once for each test.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

FAILED = 1
UNSUPPORTED = 33
"""What CWL runners exit with if they do not support what a document requires."""


def main(arguments: Sequence[str]) -> int:
    """Run one document; return the exit code of a CWL runner."""
    given = _parser().parse_args(arguments)
    submitted = subprocess.run(
        [sys.executable, "-m", "wes_daemon", *submit_arguments(given.document, given.job, container=given.container)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if not submitted.stdout:
        return FAILED  # The run was refused; standard error says why.
    code, output, error = conclusion(json.loads(submitted.stdout))
    sys.stdout.write(output)
    sys.stderr.write(error)
    return code


def submit_arguments(document: str, job: str | None, *, container: str) -> Sequence[str]:
    """Return the arguments of `wes-daemon` for a document and a job; each is a path or a `file://` address."""
    return [
        # The provider runs what `submit` checks more strictly than the standard, such as unknown inputs.
        *("submit", _path(document), "--provider", "local", "--no-checks"),
        *("--engine-parameter", f"container={container}"),
        *(["--params", _path(job)] if job else []),
        *("--wait", "--json"),
    ]


def conclusion(record: Mapping[str, Any]) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error for a run that has ended, as `submit --json` printed it."""
    if record["state"] == "COMPLETE":
        return 0, json.dumps(record["outputs"], indent=4), ""
    code = UNSUPPORTED if (record.get("run_log") or {}).get("exit_code") == UNSUPPORTED else FAILED
    return code, "", f"{record['state']}: {record['request']['tags'].get('error', '')}\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runner.py", description=__doc__)
    parser.add_argument("--outdir", help="accepted and not used: outputs stay in the run's directory")
    parser.add_argument("--quiet", action="store_true", help="accepted: nothing else is printed anyway")
    parser.add_argument("--container", default="none", help="the engine parameter of this name")
    parser.add_argument("document")
    parser.add_argument("job", nargs="?")
    return parser


def _path(given: str) -> str:
    parts = urlsplit(given)
    if parts.scheme != "file":
        return given
    return unquote(parts.path) + (f"#{parts.fragment}" if parts.fragment else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
