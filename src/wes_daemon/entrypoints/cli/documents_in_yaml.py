"""Reads JSON and YAML so that nothing is changed silently: no name is dropped, and no number is rounded.

YAML is read as its version 1.2 defines it (core schema), so that `no`, `1:30` and `2026-11-23` remain texts.
PyYAML implements version 1.1, where these are a truth value, the number 90 and a date.
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import yaml

# By tag: the texts that have it, and the characters that they begin with.
# Source: YAML 1.2.2, section 10.3.2 "Tag Resolution", and the merge key of 1.1, which people use.
_YAML_TAGS: Mapping[str, tuple[str, str]] = {
    "null": (r"null|Null|NULL|~|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    "merge": (r"<<", "<"),
}
_MERGE = "tag:yaml.org,2002:merge"
# Python refuses to read integers that are longer, because that takes long.
_LONGEST_INTEGER = 4_000


class ChangedValue(ValueError):
    """The text cannot be kept as it is written; the message names the member or shows the kind of number."""


def load_json(text: str) -> object:
    """Return the document.

    Raises:
        ValueError: it is no JSON; NaN and Infinity are none, though Python accepts them.
        ChangedValue: a name occurs twice in an object, or a number has more digits than can be kept.
    """
    return json.loads(
        text,
        parse_constant=_refuse_constant,
        parse_float=exact_float,
        parse_int=exact_integer,
        object_pairs_hook=_object_of,
    )


def load_yaml(text: str) -> object:
    """Return the document.

    Raises:
        yaml.YAMLError: it is no YAML.
        ChangedValue: as for `load_json`.
    """
    import yaml

    return yaml.load(text, _yaml_loader())


def yaml_problem(error: Exception) -> str:
    """Say in one line where and why a text is no YAML: `line 2, column 1: expected ',' or ']'`."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or not problem:
        return " ".join(str(error).split())
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def exact_float(text: str) -> float:
    """Return the number; raises `ChangedValue` if its shortest text would be another one."""
    number = float(text)
    if Decimal(repr(number)) != Decimal(text):
        raise ChangedValue("a number has more digits than can be kept (about 17): round it, or write it as a text")
    return number


def exact_integer(text: str) -> int:
    """Return the number; raises `ChangedValue` if it is longer than Python reads."""
    if len(text) > _LONGEST_INTEGER:
        raise ChangedValue(f"a number has {len(text):,} digits: write it as a text")
    return int(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _object_of(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict[str, object]()
    for name, value in pairs:
        if name in found:
            raise ChangedValue(f"{name!r} is given twice in one object: remove one of the two")
        found[name] = value
    return found


@cache
def _yaml_loader() -> "type[yaml.SafeLoader]":
    import yaml

    class CoreLoader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML's own way: each class has its own

        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            # Not when the mapping is constructed: merged mappings are part of it then.
            node = super().compose_mapping_node(anchor)
            _check_names(node)
            return node

    for tag, (pattern, first) in _YAML_TAGS.items():
        CoreLoader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}",
            re.compile(rf"(?:{pattern})\Z"),
            ["" if char == "\0" else char for char in first],
        )
    CoreLoader.add_constructor("tag:yaml.org,2002:int", _integer)
    CoreLoader.add_constructor("tag:yaml.org,2002:float", _number)
    return CoreLoader


def _check_names(node: "yaml.MappingNode") -> None:
    """Refuse two names that read alike once they are texts, such as `1` and `"1"`."""
    names = set[str]()
    for key, _ in node.value:
        name = getattr(key, "value", None)
        if key.tag == _MERGE or not isinstance(name, str):
            continue
        if name in names:
            line = key.start_mark.line + 1
            raise ChangedValue(f"line {line}: {name!r} is given twice in one object: remove one of the two")
        names.add(name)


def _integer(loader: "yaml.SafeLoader", node: "yaml.ScalarNode") -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in ("0o", "0x") else exact_integer(text)


def _number(loader: "yaml.SafeLoader", node: "yaml.ScalarNode") -> float:
    return exact_float(str(loader.construct_scalar(node)))
