"""Reads the parameters of a workflow, from a JSON or YAML file and from `NAME=VALUE` arguments."""

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import click

from wes_daemon.domain.addresses import public_url
from wes_daemon.entrypoints.cli.documents_in_yaml import ChangedValue, load_json, load_yaml, yaml_problem
from wes_daemon.entrypoints.cli.errors import one_line
from wes_daemon.entrypoints.cli.local_files import exists, expand_home, has_scheme, is_address, is_file
from wes_daemon.entrypoints.cli.workflow_inputs import DeclaredInputs, Misfit

_INPUTS = "NAME=VALUE"
_FILE_CLASSES = ("File", "Directory")
# What cwltool reads.
_READABLE_SCHEMES = ("", "file", "http", "https")


def named_values(arguments: Sequence[str], hint: str) -> dict[str, str]:
    """Split each `NAME=VALUE`.

    Raises:
        click.BadParameter: an argument has no name or no `=`, or a name is given twice; `hint` names the option.
    """
    values = dict[str, str]()
    for text in arguments:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE{_advice(text, hint)}.", param_hint=hint)
        if name in values:
            several = '["a", "b"]' if not value.startswith("@") else '[{"class": "File", "path": "a.txt"}]'
            as_list = f", and several values as one list, such as {name}='{several}'" if hint == _INPUTS else ""
            raise click.BadParameter(f"{name} is given twice; give it once{as_list}.", param_hint=hint)
        values[name] = value
    return values


def parameters_from_arguments(values: Sequence[str], inputs: DeclaredInputs | None) -> dict[str, object]:
    """Read each `NAME=VALUE`: JSON if it can be read as JSON, a file if it begins with `@`, else a text.

    Args:
        inputs: if they are known, a value that is not of its input's type is read as a text, or refused.

    Raises:
        click.BadParameter: a value cannot be kept as it is written, or is not of its input's type.
    """
    return {name: _typed(name, text, inputs) for name, text in named_values(values, _INPUTS).items()}


def file_parameters(name: str) -> dict[str, object]:
    """Read the parameters in a JSON or YAML file, or on standard input for `-`.

    Raises:
        click.BadParameter: the file cannot be read, or does not contain an object of JSON values.
    """
    text = _read(name)
    parsed = _parsed(name, text)
    if parsed is None and not text.strip():
        _refuse(f"{name} is empty; write names and values, such as message: hello, or leave --params out.")
    if parsed is None:
        return {}
    if not isinstance(parsed, Mapping):
        _refuse(f"{name} must hold names and values, such as message: hello.")
    try:
        return {_name_text(member): _with_names(name, value) for member, value in parsed.items()}
    except RecursionError:
        _refuse(f"{name} holds a value that contains itself, which JSON cannot express.")


def with_absolute_files(value: object, base: Path, hint: str) -> object:
    """Return the parameters with each relative File and Directory resolved against `base`, as cwltool does.

    Raises:
        click.BadParameter: a file does not exist; `hint` names the argument.
    """
    if isinstance(value, list):
        return [with_absolute_files(item, base, hint) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = {name: with_absolute_files(item, base, hint) for name, item in value.items()}
    return _absolute(inner, base, hint) if inner.get("class") in _FILE_CLASSES else inner


def with_attached_names(value: object, names: Collection[str]) -> object:
    """Return the parameters with each File that names an attachment such as `v1:a.txt` written as no address."""
    if isinstance(value, list):
        return [with_attached_names(item, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = {name: with_attached_names(item, names) for name, item in value.items()}
    if inner.get("class") not in _FILE_CLASSES:
        return inner
    found = {key: inner[key] for key in ("location", "path") if inner.get(key) in names}
    # RFC 3986, section 4.2: a relative reference whose first segment has a colon begins with a dot segment.
    return {**inner, **{key: f"./{path}" for key, path in found.items() if has_scheme(str(path))}}


def require_readable_here(values: Mapping[str, object]) -> None:
    """Check that a provider of this machine can read each File and Directory.

    Raises:
        click.BadParameter: one has another address than such a provider reads.
    """
    for name, value in values.items():
        for address in _addresses(value):
            scheme = _scheme(address)
            if scheme not in _READABLE_SCHEMES:
                raise click.BadParameter(
                    f"{public_url(address)!r} cannot be read here: the provider reads files of this machine, "
                    f"http:// and https://, and not {scheme}:; copy the file to this machine, or choose another "
                    "provider with --provider.",
                    param_hint=one_line(name),
                )


def _advice(text: str, hint: str) -> str:
    name, colon, _ = text.partition(":")
    if hint != _INPUTS:
        return f", such as {hint} sample=S1"
    if colon and name.isidentifier():
        return f": write {name}=…, with = and no blanks around it"
    if is_file(Path(text), hint) and PurePath(text).suffix.lower() in (".json", ".yaml", ".yml"):
        return f": a file of parameters is given as --params {text}"
    return ": write the name of the input, = and the value, without blanks around =; quote a value that has blanks"


def _typed(name: str, text: str, inputs: DeclaredInputs | None) -> object:
    value = _value(name, text)
    declared = inputs.by_name.get(name) if inputs else None
    try:
        return declared.value_of(text, value) if declared else value
    except Misfit as error:
        raise click.BadParameter(f"{error}.", param_hint=name) from error


def _value(name: str, text: str) -> object:
    if text.startswith("@"):
        return _file(name, text[1:])
    try:
        return load_json(text)
    except ChangedValue as error:
        raise click.BadParameter(f"""{error}, as {name}='"…"'.""", param_hint=name) from error
    except (ValueError, RecursionError):
        return text


def _file(name: str, path: str) -> dict[str, object]:
    hint = f"{name}=@{path}"
    found = expand_home(path, hint)
    if not exists(found, hint) and is_address(path):
        return {"class": "File", "location": path}
    file = _existing(found, hint)
    return {"class": "Directory" if file.is_dir() else "File", "location": file.as_uri()}


def _absolute(file: dict[str, object], base: Path, hint: str) -> dict[str, object]:
    location, path = file.get("location"), file.get("path")
    if isinstance(location, str):
        spellings = [unquote(location), location]
    elif isinstance(path, str):
        spellings = [path]
    else:
        return file
    candidates = [base / expand_home(spelling, hint) for spelling in spellings]
    found = next((candidate for candidate in candidates if exists(candidate, hint)), None)
    # As it was written: the colon of `A%3AB` is a part of a file's name.
    if found is None and has_scheme(spellings[-1]):
        return file
    others = {name: value for name, value in file.items() if name not in ("location", "path")}
    return {**others, "location": _existing(found or candidates[0], hint).as_uri()}


def _existing(path: Path, hint: str) -> Path:
    if not exists(path, hint):
        raise click.BadParameter(f"there is no file {path.absolute()}; correct its path.", param_hint=hint)
    return path.resolve()


def _addresses(value: object) -> Iterator[str]:
    """Yield the addresses of all files within a value."""
    if isinstance(value, list):
        for item in value:
            yield from _addresses(item)
    elif isinstance(value, Mapping):
        address = value.get("location") or value.get("path")
        if value.get("class") in _FILE_CLASSES and isinstance(address, str) and has_scheme(address):
            yield address
        for item in value.values():
            yield from _addresses(item)


def _scheme(address: str) -> str:
    try:
        return urlsplit(address).scheme.lower()
    except ValueError:
        return address.partition(":")[0].lower()


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else expand_home(name, "--params").read_text("utf-8")
    except OSError as error:
        _refuse(f"{name} cannot be read: {error.strerror}; name a file of parameters in JSON or YAML.")
    except UnicodeDecodeError:
        _refuse(f"{name} is not a text in UTF-8.")


def _parsed(name: str, text: str) -> object:
    try:
        return load_json(text)
    except ChangedValue as error:
        _refuse(f"{name}: {error}.")
    except (ValueError, RecursionError) as error:
        if PurePath(name).suffix.lower() == ".json":
            _refuse(f"{name} is not JSON: {error}; YAML belongs into a file whose name ends with .yaml.")
    import yaml

    try:
        return load_yaml(text)
    except ChangedValue as error:
        _refuse(f"{name}: {error}.")
    except (yaml.YAMLError, RecursionError) as error:
        _refuse(f"{name} is neither JSON nor YAML: {yaml_problem(error)}.")


def _with_names(name: str, value: object) -> object:
    """Return the value with texts in place of names that are numbers, which YAML can express and JSON cannot."""
    match value:
        case Mapping():
            return {_name_text(member): _with_names(name, item) for member, item in value.items()}
        case list():
            return [_with_names(name, item) for item in value]
        case None | bool() | int() | float() | str():
            return value
    _refuse(f"{name} holds a {type(value).__name__}, a value that JSON cannot express; write it as a text.")


def _name_text(member: object) -> str:
    return member if isinstance(member, str) else json.dumps(member)


def _refuse(problem: str) -> NoReturn:
    raise click.BadParameter(problem, param_hint="--params")
