"""YAML as its version 1.2 reads it (core schema), so that `no`, `1:30` and `2026-11-23` stay the texts that they are.

PyYAML reads 1.1, where these are a truth value, the number 90 and a date.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

# Source: YAML 1.2.2, section 10.3.2 "Tag Resolution", and the merge key of 1.1, which people use.
_CORE: Mapping[str, tuple[str, str]] = {
    "null": (r"null|Null|NULL|~|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    "merge": (r"<<", "<"),
}


class _CoreLoader(yaml.SafeLoader):
    """A loader of plain values."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML's own way: each class has its own


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)))


for _tag, (_pattern, _first) in _CORE.items():
    _CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), ["" if one == "\0" else one for one in _first]
    )
_CoreLoader.add_constructor("tag:yaml.org,2002:int", _integer)
_CoreLoader.add_constructor("tag:yaml.org,2002:float", _number)


def load(text: str) -> object:
    """The document; raises `yaml.YAMLError`."""
    return yaml.load(text, _CoreLoader)
