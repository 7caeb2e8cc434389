"""The file `.env` in the working directory, from which settings are read."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

ENV_FILE = ".env"
ENCODING = "utf-8-sig"
"""UTF-8, with or without the mark at the beginning that some editors write."""

_NAME = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)", re.ASCII)


def names_in_env_file() -> Collection[str]:
    """Return the names in `.env`; none if there is no such file."""
    return dotenv_values(ENV_FILE, encoding=ENCODING, interpolate=False).keys()


def problems_in_env_file(known: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each line that cannot be read, with its number and never with its value.

    Args:
        known: the names of the settings; no other word of a line is shown, because it may be a secret.

    Raises:
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    path = Path(ENV_FILE)
    if not path.is_file():
        return
    with path.open(encoding=ENCODING) as file:
        for binding in parse_stream(file):
            if binding.error or (binding.key in known and binding.value is None):
                yield _problem(binding, known)


def _problem(binding: Binding, known: Collection[str]) -> str:
    # Lines without content precede the wrong one.
    text = binding.original.string
    line = binding.original.line + len(text) - len(text.lstrip("\n"))
    found = _NAME.match(text)
    name = f" ({found[1]})" if found and found[1].upper() in known else ""
    return (
        f"{ENV_FILE}: line {line}{name} cannot be read: write NAME=VALUE, "
        "with both quotation marks or none, and nothing but a comment after them"
    )
