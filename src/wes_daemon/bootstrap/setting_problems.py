"""What is wrong with the value of a setting, in words for the person who wrote it."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic_core import ErrorDetails

_PREFIXES = ("DAEMON_", "DATABASE_", "SEVENBRIDGES_", "AWS_HEALTHOMICS_")
# How a value looks, for settings whose values have a pattern.
_FORMS: Mapping[str, str] = {
    "SEVENBRIDGES_API_ENDPOINT": "https://api.sbgenomics.com/v2",
    "SEVENBRIDGES_PROJECT": "owner/project",
    "AWS_REGION": "us-east-1",
    "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN": "arn:aws:iam::ACCOUNT:role/NAME",
    "AWS_HEALTHOMICS_OUTPUT_URI": "s3://bucket/prefix",
    "AWS_HEALTHOMICS_EVENTS_QUEUE_URL": "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
}


def problem_of(name: str, detail: ErrorDetails) -> str:
    """Return what pydantic found, without the value; for a pattern, a value that has it."""
    if detail["type"] == "string_pattern_mismatch" and name in _FORMS:
        return f"write it as {_FORMS[name]}"
    if detail["type"] == "bool_parsing":
        return "input should be a valid boolean: true or false"
    message = detail["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def advice_on_argument(name: str, arguments: Mapping[str, str]) -> str:
    """Return the end of a sentence about an unknown argument: the one that was meant, or all of them.

    Args:
        arguments: the known arguments by the names of their environment variables.
    """
    known = list(arguments.values())
    similar = [arguments[name]] if name in arguments else difflib.get_close_matches(name, known, n=1)
    return f": did you mean {similar[0]}?" if similar else f"; the arguments are {', '.join(known)}"


def misspelt(names: Iterable[str], settings: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each unknown name that is similar to a setting's name, together with the most similar setting's name.

    Args:
        settings: the names of all settings.
    """
    for name in sorted(names):
        # pydantic ignores the case of names.
        if name.upper().startswith(_PREFIXES) and name.upper() not in settings:
            yield from ((name, right) for right in difflib.get_close_matches(name.upper(), settings, n=1, cutoff=0.75))
