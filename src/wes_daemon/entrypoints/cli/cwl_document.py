"""Reads the workflow document that `submit` is given, as far as that needs no other document."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn

import click

from wes_daemon.entrypoints.cli.documents_in_yaml import yaml_problem
from wes_daemon.entrypoints.cli.workflow_inputs import DeclaredInputs, declared_inputs

_CWL_VERSION = re.compile(r"""^\s*\{?\s*["']?cwlVersion["']?\s*:\s*["']?(?P<version>[\w.\-:]+)""", re.MULTILINE)
_HTML = re.compile(r"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_CLASSES = "Workflow, CommandLineTool or ExpressionTool"


def declared_version(content: bytes) -> str | None:
    """Return the version that a CWL document declares; `sbg:draft-2` is one."""
    found = _CWL_VERSION.search(content.decode("utf-8", "replace"))
    return found["version"] if found else None


def check_is_workflow(name: str, content: bytes) -> str:
    """Return the document's text.

    Raises:
        click.BadParameter: it is empty, no text, or an HTML page.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse(
            f"{name} is not a text in UTF-8, and so no workflow document; name the file that contains the workflow."
        )
    if not text.strip():
        _refuse(f"{name} is empty; name the file that contains the workflow.")
    if _HTML.match(text):
        _refuse(f"{name} is an HTML page, not a workflow; download the file itself, such as GitHub's raw file.")
    return text


def read_inputs(name: str, text: str, fragment: str) -> DeclaredInputs | None:
    """Return the inputs of a CWL document's process; None if they cannot be read without other documents.

    Args:
        fragment: `#` and the name of one of several processes in the document, or empty.

    Raises:
        click.BadParameter: the document is no CWL.
    """
    document = _parsed(name, text)
    if document is None:
        return None
    if not isinstance(document, Mapping):
        _refuse(f"{name} is no CWL document: it holds no names and values; name the file that contains the workflow.")
    if "$graph" in document:
        process = _process_of_graph(name, document["$graph"], fragment)
    elif any(str(member).startswith("$") or ":" in str(member) for member in document) and "class" not in document:
        return None
    else:
        process = document
    if process is not None and not process.get("class"):
        _refuse(
            f"{name} is no CWL document: it has no class, which is {_CLASSES}; a file of parameters is given as "
            "--params, and the workflow comes first."
        )
    return declared_inputs(process) if process is not None else None


def _process_of_graph(name: str, graph: object, fragment: str) -> Mapping[str, object] | None:
    processes = [each for each in graph if isinstance(each, Mapping)] if isinstance(graph, list) else []
    by_id = {str(each.get("id", "")).rpartition("#")[2]: each for each in processes}
    wanted = fragment.removeprefix("#") or "main"
    if wanted in by_id or not fragment:
        return by_id.get(wanted)
    _refuse(f"{name} has no process {fragment}; it has {', '.join(f'#{id}' for id in by_id)}.")


def _parsed(name: str, text: str) -> object:
    """Return the document; None if it cannot be read without a change."""
    import yaml

    from wes_daemon.entrypoints.cli.documents_in_yaml import ChangedValue, load_json, load_yaml

    try:
        # JSON is YAML, too, but a large packed workflow is read a hundred times faster as JSON.
        return load_json(text)
    except (ChangedValue, RecursionError):
        return None
    except ValueError:
        pass
    try:
        return load_yaml(text)
    except (ChangedValue, RecursionError):
        return None
    except yaml.YAMLError as error:
        return _parsed_as_by_cwltool(name, text, error)


def _parsed_as_by_cwltool(name: str, text: str, error: Exception) -> object:
    """Return the document as the library of cwltool reads it, which accepts more than PyYAML: `{type: int?}`."""
    with suppress(ImportError):
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        with suppress(YAMLError, ValueError, RecursionError):
            return YAML(typ="safe", pure=True).load(text)
    _refuse(f"{name} is neither YAML nor JSON, and so it is no CWL document: {yaml_problem(error)}.")


def _refuse(problem: str) -> NoReturn:
    raise click.BadParameter(problem, param_hint="WORKFLOW")
