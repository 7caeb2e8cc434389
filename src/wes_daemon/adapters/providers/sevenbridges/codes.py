"""The codes of the platform's API errors, and what each says about the cause of a refusal.

Source: a third party's transcription of the vendor's table of API codes (2026-08; sevenbridges-r, `R/api-http.R`, and
sevenbridges2), and the documentation of API status codes. `docs/providers/sevenbridges-codes.md` has the same table
with the meaning of each code; a test compares the two.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

TASK_NOT_FOUND = 7002
TASK_FORBIDDEN = 7001
NO_TASK_ID = 7005
NO_DRAFT = 7010

PARENT_GONE = frozenset({5002, 5022, 5026})
"""The folder in which something was to be created no longer exists, or is no folder."""

NO_IMPORT = frozenset({9008, 90003})
"""An import that the service does not know."""

FOLDER_EXISTS = frozenset({5003, 5030})
"""The name is taken: by a file, by a folder."""

PROJECT_CODES = frozenset({3001, 3002, 3006, 3012})
"""About the project of a call: an error of the run that names the project, or else of the settings."""


class Verdict(StrEnum):
    """Whose fault a refusal is, by its code. The values are the words of the documentation."""

    UNAVAILABLE = "service unavailable"
    """The service is down; the call had no effect."""

    CLOUD = "cloud of a volume"
    """The cloud that holds a volume does not answer; the call had no effect."""

    TOO_MANY = "too many calls"

    FAILED = "service failed"
    """The service failed during the call, which may have had an effect."""

    STATE = "state has changed"
    """A task is not in the state that the call needs: it has changed meanwhile."""

    RUN = "run"
    """What the run names, or how it is written."""

    PROJECT = "project"
    """The project of the run, or that of the settings."""

    SETTINGS = "settings"
    """The token, or the user to whom it belongs."""

    UNCLEAR = "unclear"
    """The code does not tell the run from the settings."""

    PACKAGE = "wes-daemon"
    """This package sent a malformed request."""


def _verdicts() -> Iterable[tuple[Verdict, Iterable[int]]]:
    yield Verdict.UNAVAILABLE, (0, 2000, 3000, 4000, 5000, 5010, 6000, 7000, 8000, 13000, 90005)
    yield Verdict.CLOUD, (9000, 9100, 10215)
    yield Verdict.TOO_MANY, (1000,)
    yield Verdict.FAILED, (10220, 13004, 90004)
    yield Verdict.STATE, (*range(7007, 7012), 7013, 7026, 90007)
    yield Verdict.PROJECT, PROJECT_CODES
    yield Verdict.SETTINGS, (2001, 2002, 10208, 90001)
    yield Verdict.UNCLEAR, (90002, 90003, 90009)
    yield Verdict.PACKAGE, (10214, 90006, 90008, 90010)
    yield Verdict.RUN, (2003, 2105, *range(3003, 3006), *range(3007, 3012), 3013)
    yield Verdict.RUN, range(4001, 4008)
    yield Verdict.RUN, (*range(5001, 5010), 5011, 5012, 5014, 5015, *range(5017, 5028), *range(5029, 5036))
    yield Verdict.RUN, (*range(6001, 6005), *range(6006, 6013))
    yield Verdict.RUN, (*range(7001, 7007), 7012, *range(7014, 7025))
    yield Verdict.RUN, range(8001, 8016)
    yield Verdict.RUN, (*range(9001, 9023), 9024, 9025, 9026, 9027, 9028, 9030, 9032, 9057, 9058)
    yield Verdict.RUN, (*range(9101, 9110), *range(9200, 9210))
    yield Verdict.RUN, (10101, 10102, 10105, 10110, *range(10210, 10214), *range(10216, 10219))
    yield Verdict.RUN, (*range(10221, 10237), 13001, 13002, 13003, 90000)


CODES: Mapping[int, Verdict] = {code: verdict for verdict, codes in _verdicts() for code in codes}
"""A code that is missing here is the run's fault, as most codes are: see `errors`."""

# By the thousands of a code: what a person checks.
_SUBJECTS: Mapping[int, str] = {
    4: "check the billing group of the project, and that the token's owner may use it",
    5: "check the files and folders that the run names, and that the token's owner may read them",
    6: "check the app in workflow_url, and that the token's owner may use it",
    8: "check the files that the run names",
    9: "check the volume that holds the bucket, the object in it, and that the token's owner may use both",
}


def advice(code: int) -> str | None:
    """Return what a person checks after a refusal that is the run's fault, if the code names a kind of thing."""
    return _SUBJECTS.get(code // 1000)
