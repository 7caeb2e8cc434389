"""What is wrong with the value of a setting, in words for the person who wrote it."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from wes_daemon.domain.errors import WesDaemonError

_UNKNOWN_FIELD = FieldInfo()


class ConfigurationError(WesDaemonError):
    """A setting is wrong or missing; the message names it, says what is expected, and never shows a secret."""


def message_of(detail: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    """Return the setting's name, what is wrong and what it means.

    Args:
        fields: the settings by the names of their variables.
    """
    name = str(detail["loc"][0]) if detail["loc"] else ""
    named = {str(field.validation_alias): field for field in fields.values()}
    field = named.get(name) or fields.get(name) or _UNKNOWN_FIELD
    variable = str(field.validation_alias or name)
    return f"{variable}: {_problem_of(detail, field, variable)}. {field.description or ''}".rstrip()


def _problem_of(detail: ErrorDetails, field: FieldInfo, variable: str) -> str:
    """Return what pydantic found, without the value and without the setting's name; for a pattern, a value that has it.

    Args:
        variable: the setting's name, with which a validator's own message may begin.
    """
    if detail["type"] == "string_pattern_mismatch" and field.examples:
        return f"write it as {field.examples[0]}"
    if detail["type"] == "bool_parsing":
        return "input should be a valid boolean: true or false"
    message = detail["msg"].removeprefix("Value error, ").removeprefix(f"{variable} ")
    return message[:1].lower() + message[1:]


def advice_on_argument(name: str, variables: Sequence[str]) -> str:
    """Return the end of a sentence about an unknown argument: the one that was meant, or all of them.

    Args:
        variables: the names of all settings.
    """
    arguments = [variable.lower() for variable in variables]
    known = {short: argument for argument in arguments for short in (argument.removeprefix("daemon_"), argument)}
    similar = difflib.get_close_matches(name.lower(), known, n=1)
    return f": did you mean {known[similar[0]]}?" if similar else f"; the arguments are {', '.join(arguments)}"


def misspelt(names: Iterable[str], settings: Sequence[str], prefixes: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each unknown name that is similar to a setting's name, together with the most similar setting's name.

    Args:
        settings: the names of all settings.
        prefixes: of names that belong to wes-daemon and its providers; other names are left out.
    """
    for name in sorted(names):
        # pydantic ignores the case of names.
        if name.upper().startswith(tuple(prefixes)) and name.upper() not in settings:
            yield from ((name, right) for right in difflib.get_close_matches(name.upper(), settings, n=1, cutoff=0.75))
