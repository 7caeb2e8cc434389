"""A bug to plant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

PACKAGE = Path("src/wes_daemon")


class NoPlace(Exception):
    """The code has moved on, and the bug has to be written anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One small change of the package, and the tests that have to notice it.

    Attributes:
        name: how it is asked for on the command line.
        breaks: what goes wrong with it, in one sentence.
        file: below the package.
        old: text that occurs exactly once in the file.
        new: what stands there instead.
        tests: for pytest; so few that they take seconds.
        hangs_after: tests that take longer than this have found it; None where one of them has to fail.
    """

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: Sequence[str]
    hangs_after: timedelta | None = None

    @property
    def path(self) -> Path:
        """The file, from the repository's root."""
        return PACKAGE / self.file

    def planted_in(self, text: str) -> str:
        """The file's text with the bug in it.

        Raises:
            NoPlace: its text is not there, or there more than once.
        """
        if text.count(self.old) != 1:
            raise NoPlace(f"{self.name}: {self.file} has its text {text.count(self.old)} times: write it anew")
        return text.replace(self.old, self.new)
