"""How a run ended, as its runner writes it down."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

NO_CWLTOOL = 70
"""Exit code of our own subprocess when cwltool cannot be imported (sysexits.h: internal software error)."""

TERMINATED = 143
"""Exit code of our own subprocess when it got a SIGTERM (as a shell has it: 128 and the signal)."""


class Ending(StrEnum):
    """The ways in which a run can end."""

    EXITED = "exited"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run ended.

    Attributes:
        exit_code: cwltool's; negative is the signal that killed it; `None` when it was never started or is lost.
        message: why it ended badly, for a person.
    """

    ending: Ending
    ended_at: datetime | None
    exit_code: int | None = None
    message: str = ""

    def as_object(self) -> Mapping[str, object]:
        """What is written down."""
        return {
            "ending": self.ending.value,
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "exit_code": self.exit_code,
            "message": self.message,
        }

    @classmethod
    def read(cls, found: Mapping[str, object]) -> Self:
        """What was written down; damaged parts are left out, for a run that ended must not seem to run."""
        ending, ended_at, exit_code = found.get("ending"), found.get("ended_at"), found.get("exit_code")
        return cls(
            ending=Ending(str(ending)) if ending in list(Ending) else Ending.LOST,
            ended_at=read_moment(ended_at),
            exit_code=exit_code if isinstance(exit_code, int) else None,
            message=str(found.get("message", "the run's result file is damaged")),
        )


def read_moment(value: object) -> datetime | None:
    """A time as we write it; `None` for what is none."""
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None
