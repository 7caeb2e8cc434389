"""What the figures are measured with: databases, and a place for files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.databases import Databases


@dataclass(frozen=True)
class Site:
    """Shared by all figures of one command."""

    directory: Path
    databases: Databases


@contextmanager
def site() -> Iterator[Site]:
    """A site of which nothing is left behind."""
    with TemporaryDirectory(prefix="wes-bench-") as folder:
        directory = Path(folder)
        with Databases(directory) as databases:
            yield Site(directory, databases)
