"""A workflow's parameters, from a file and from `NAME=VALUE` on the command line."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import NoReturn
from urllib.parse import unquote

import click

from wes_daemon.entrypoints.cli.paths import at_home
from wes_daemon.entrypoints.cli.workflow_source import has_scheme

_FILE_CLASSES = ("File", "Directory")


def named_values(given: Sequence[str], hint: str) -> dict[str, str]:
    """Each `NAME=VALUE` parted; of two with one name the later counts.

    Raises:
        click.BadParameter: one has no name or no `=`.
    """
    parted = [text.partition("=") for text in given]
    for (name, equals, _), text in zip(parted, given, strict=True):
        if not (name and equals):
            raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE.", param_hint=hint)
    return {name: value for name, _, value in parted}


def given_parameters(values: Sequence[str]) -> dict[str, object]:
    """What `NAME=VALUE` means: JSON where it is JSON, a file where it begins with `@`, else a text."""
    return {name: _value(name, text) for name, text in named_values(values, "NAME=VALUE").items()}


def file_parameters(name: str) -> dict[str, object]:
    """The parameters in a JSON or YAML file, or on standard input for `-`.

    Raises:
        click.BadParameter: it cannot be read, or holds no object of JSON's values.
    """
    found = _parsed(name, _read(name))
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        _refuse(f"{name} must hold names and values, such as message: hello.")
    try:
        # What YAML can say and JSON cannot is found here, and names that are numbers become texts.
        return dict(json.loads(json.dumps(found, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        _refuse(f"{name} holds what JSON has no word for: {error}.")


def with_absolute_files(value: object, base: Path) -> object:
    """The parameters with each relative File and Directory found from `base`, as cwltool would find them there.

    Raises:
        click.BadParameter: there is no such file.
    """
    if isinstance(value, list):
        return [with_absolute_files(item, base) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = {name: with_absolute_files(item, base) for name, item in value.items()}
    return _absolute(inner, base) if inner.get("class") in _FILE_CLASSES else inner


def _absolute(file: dict[str, object], base: Path) -> dict[str, object]:
    location, path = file.get("location"), file.get("path")
    given = unquote(location) if isinstance(location, str) else path
    if not isinstance(given, str) or has_scheme(given):
        return file
    others = {name: value for name, value in file.items() if name not in ("location", "path")}
    return {**others, "location": _existing(base / at_home(given, "--params"), "--params").as_uri()}


def _value(name: str, text: str) -> object:
    if text.startswith("@"):
        return _file(name, text[1:])
    try:
        # NaN and Infinity are no JSON, though Python reads them.
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _file(name: str, path: str) -> dict[str, object]:
    if has_scheme(path):
        return {"class": "File", "location": path}
    hint = f"{name}=@{path}"
    found = _existing(at_home(path, hint), hint)
    return {"class": "Directory" if found.is_dir() else "File", "location": found.as_uri()}


def _existing(path: Path, hint: str) -> Path:
    if not path.exists():
        raise click.BadParameter(f"there is no file {path.absolute()}.", param_hint=hint)
    return path.resolve()


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else at_home(name, "--params").read_text("utf-8")
    except OSError as error:
        _refuse(f"{name} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        _refuse(f"{name} is no text in UTF-8.")


def _parsed(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        if PurePath(name).suffix.lower() == ".json":
            _refuse(f"{name} is no JSON: {error}.")
    import yaml

    from wes_daemon.entrypoints.cli import core_yaml

    try:
        return core_yaml.load(text)
    except (yaml.YAMLError, RecursionError) as error:
        _refuse(f"{name} is neither JSON nor YAML: {' '.join(str(error).split())}.")


def _refuse(problem: str) -> NoReturn:
    raise click.BadParameter(problem, param_hint="--params")
