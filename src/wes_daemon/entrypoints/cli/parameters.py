"""Reads the parameters of a workflow, from a JSON or YAML file and from `NAME=VALUE` arguments.

YAML is read as its version 1.2 defines it (core schema), so that `no`, `1:30` and `2026-11-23` remain texts.
PyYAML implements version 1.1, where these are a truth value, the number 90 and a date.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

import click

from wes_daemon.entrypoints.cli.options import expand_home

if TYPE_CHECKING:
    import yaml

_FILE_CLASSES = ("File", "Directory")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")

# By tag: the texts that have it, and the characters that they begin with.
# Source: YAML 1.2.2, section 10.3.2 "Tag Resolution", and the merge key of 1.1, which people use.
_YAML_TAGS: Mapping[str, tuple[str, str]] = {
    "null": (r"null|Null|NULL|~|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    "merge": (r"<<", "<"),
}


def named_values(arguments: Sequence[str], hint: str) -> dict[str, str]:
    """Split each `NAME=VALUE`; of two with the same name the later one counts.

    Raises:
        click.BadParameter: an argument has no name or no `=`; `hint` names the option.
    """
    parts = [text.partition("=") for text in arguments]
    for (name, equals, _), text in zip(parts, arguments, strict=True):
        if not (name and equals):
            raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE.", param_hint=hint)
    return {name: value for name, _, value in parts}


def parameters_from_arguments(values: Sequence[str]) -> dict[str, object]:
    """Read each `NAME=VALUE`: JSON if it can be read as JSON, a file if it begins with `@`, else a text."""
    return {name: _value(name, text) for name, text in named_values(values, "NAME=VALUE").items()}


def file_parameters(name: str) -> dict[str, object]:
    """Read the parameters in a JSON or YAML file, or on standard input for `-`.

    Raises:
        click.BadParameter: the file cannot be read, or does not contain an object of JSON values.
    """
    parsed = _parsed(name, _read(name))
    if parsed is None:
        return {}
    if not isinstance(parsed, Mapping):
        _refuse(f"{name} must hold names and values, such as message: hello.")
    try:
        # Refuses values that YAML can express and JSON cannot, and turns names that are numbers into texts.
        return dict(json.loads(json.dumps(parsed, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        _refuse(f"{name} holds a value that JSON cannot express: {error}.")


def with_absolute_files(value: object, base: Path) -> object:
    """Return the parameters with each relative File and Directory resolved against `base`, as cwltool does.

    Raises:
        click.BadParameter: a file does not exist.
    """
    if isinstance(value, list):
        return [with_absolute_files(item, base) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = {name: with_absolute_files(item, base) for name, item in value.items()}
    return _absolute(inner, base) if inner.get("class") in _FILE_CLASSES else inner


def has_scheme(text: str) -> bool:
    """Return whether the text is a URL rather than a path."""
    return _SCHEME.match(text) is not None


def load_yaml(text: str) -> object:
    """Return the document; raises `yaml.YAMLError`."""
    import yaml

    return yaml.load(text, _yaml_loader())


def _absolute(file: dict[str, object], base: Path) -> dict[str, object]:
    location, path = file.get("location"), file.get("path")
    # Before it is decoded: the colon of `A%3AB` is a part of a file's name.
    if isinstance(location, str) and has_scheme(location):
        return file
    given = unquote(location) if isinstance(location, str) else path
    if not isinstance(given, str) or (given is path and has_scheme(given)):
        return file
    others = {name: value for name, value in file.items() if name not in ("location", "path")}
    return {**others, "location": _existing(base / expand_home(given, "--params"), "--params").as_uri()}


def _value(name: str, text: str) -> object:
    if text.startswith("@"):
        return _file(name, text[1:])
    try:
        # NaN and Infinity are not JSON, though Python accepts them.
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _file(name: str, path: str) -> dict[str, object]:
    if has_scheme(path):
        return {"class": "File", "location": path}
    hint = f"{name}=@{path}"
    found = _existing(expand_home(path, hint), hint)
    return {"class": "Directory" if found.is_dir() else "File", "location": found.as_uri()}


def _existing(path: Path, hint: str) -> Path:
    if not path.exists():
        raise click.BadParameter(f"there is no file {path.absolute()}.", param_hint=hint)
    return path.resolve()


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else expand_home(name, "--params").read_text("utf-8")
    except OSError as error:
        _refuse(f"{name} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        _refuse(f"{name} is not a text in UTF-8.")


def _parsed(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        if PurePath(name).suffix.lower() == ".json":
            _refuse(f"{name} is not JSON: {error}.")
    import yaml

    try:
        return load_yaml(text)
    except (yaml.YAMLError, RecursionError) as error:
        _refuse(f"{name} is neither JSON nor YAML: {' '.join(str(error).split())}.")


def _refuse(problem: str) -> NoReturn:
    raise click.BadParameter(problem, param_hint="--params")


@cache
def _yaml_loader() -> "type[yaml.SafeLoader]":
    import yaml

    class CoreLoader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML's own way: each class has its own

    for tag, (pattern, first) in _YAML_TAGS.items():
        CoreLoader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}",
            re.compile(rf"(?:{pattern})\Z"),
            ["" if char == "\0" else char for char in first],
        )
    CoreLoader.add_constructor("tag:yaml.org,2002:int", _integer)
    CoreLoader.add_constructor("tag:yaml.org,2002:float", _number)
    return CoreLoader


def _integer(loader: "yaml.SafeLoader", node: "yaml.ScalarNode") -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _number(loader: "yaml.SafeLoader", node: "yaml.ScalarNode") -> float:
    return float(str(loader.construct_scalar(node)))
