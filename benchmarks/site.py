"""The databases and the directory with which figures are measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.databases import Databases


@dataclass(frozen=True)
class Site:
    """The resources that all figures of one command share."""

    directory: Path
    databases: Databases


@contextmanager
def site() -> Iterator[Site]:
    """Return a site that is removed after the block."""
    with TemporaryDirectory(prefix="wes-bench-") as folder:
        directory = Path(folder)
        with Databases(directory) as databases:
            yield Site(directory, databases)
