"""Paths on a command line."""

from pathlib import Path

import click


def at_home(text: str, hint: str) -> Path:
    """The path with the home that a `~` at its beginning names.

    Raises:
        click.BadParameter: there is no such home.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise click.BadParameter(f"{text!r} names a home that does not exist.", param_hint=hint) from error
