"""The inputs that a CWL document declares, and the values of arguments in their types.

Source: CWL v1.2, Workflow and CommandLineTool, section "inputs" and the type DSL; draft-2 writes ids with a `#`.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_INTEGERS = frozenset({"int", "long"})
_NUMBERS = frozenset({"float", "double"})
_FILES = frozenset({"File", "Directory"})
_PRIMITIVES = frozenset({"null", "boolean", "string", "Any", "record", *_INTEGERS, *_NUMBERS, *_FILES})
_IMPORTS = frozenset({"$import", "$include", "$mixin"})
_MAX_LISTED = 30
_MAX_UNKNOWN = 5
# Names in a job object that are not inputs; besides them, names with `:` or `$` such as cwl:tool and $namespaces.
_RESERVED = frozenset({"id", "__id"})


class Misfit(ValueError):
    """A value is not of the input's type; the message says what is expected, and how it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputType:
    """One of the types that an input accepts.

    Attributes:
        name: a type of CWL; `array`, `enum` and `record` for these; empty for a type that could not be read.
        items: the types of an array's items.
        symbols: the texts of an enum.
    """

    name: str
    items: tuple["InputType", ...] = ()
    symbols: tuple[str, ...] = ()

    def accepts(self, value: object) -> bool:
        """Return whether a JSON value is of this type."""
        match value:
            case None:
                return self.name in ("null", "")
            case bool():
                return self.name in ("boolean", "Any", "")
            case int():
                return self.name in {"Any", "", *_INTEGERS, *_NUMBERS}
            case float():
                return self.name in {"Any", "", *_NUMBERS}
            case str():
                return self.name in ("string", "Any", "") or value in self.symbols
            case list():
                return self.name in ("Any", "") or (
                    self.name == "array" and all(any(type.accepts(item) for type in self.items) for item in value)
                )
        kind = value.get("class") if isinstance(value, Mapping) else None
        return self.name in ("Any", "") or self.name == (kind if kind in _FILES else "record")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInput:
    """One input that a workflow declares."""

    name: str
    types: tuple[InputType, ...]
    has_default: bool

    @property
    def is_required(self) -> bool:
        """Whether a run without a value for it fails."""
        return not self.has_default and not any(type.accepts(None) for type in self.types)

    def value_of(self, text: str, parsed: object) -> object:
        """Return the value of `NAME=TEXT`: as it was parsed if that is of the input's type, else as its text.

        Raises:
            Misfit: neither is of the input's type.
        """
        if parsed is None and self.has_default:
            return None
        is_file = text.startswith("@")
        for value in (parsed,) if is_file else (parsed, text):
            if any(type.accepts(value) for type in self.types):
                return value
        is_text = any(type.accepts("") for type in self.types)
        advice = f"""; a text that begins with @ is written {self.name}='"@…"'""" if is_file and is_text else ""
        is_enum = isinstance(parsed, str) and any(type.symbols for type in self.types)
        kind = "another text" if is_enum else _kind(parsed)
        problem = f"the workflow expects {self.expected}, and this is {kind}"
        raise Misfit(f"{problem}: write {self.spelling}{advice}")

    @property
    def expected(self) -> str:
        """The types in words: `int`, `array of string or null`."""
        # `null` last: it says that the input may be left out.
        described = [_described(type) for type in sorted(self.types, key=lambda type: type.name == "null")]
        return (", or " if any(type.symbols for type in self.types) else " or ").join(described)

    @property
    def spelling(self) -> str:
        """An argument that works, as it is written in a shell."""
        type = next((type for type in self.types if type.name != "null"), self.types[0])
        value = _example(type)
        return f"{self.name}=@{type.name.upper()}" if type.name in _FILES else f"{self.name}={_quoted(value)}"


@dataclass(frozen=True, slots=True)
class DeclaredInputs:
    """All inputs of a workflow."""

    by_name: Mapping[str, WorkflowInput]

    def problems(self, given: Mapping[str, object]) -> list[str]:
        """Return what is wrong with the names of a run's inputs, in a sentence each; empty if nothing is."""
        unknown = [name for name in given if name not in self.by_name and _is_input_name(name)]
        more = len(unknown) - _MAX_UNKNOWN
        missing = [input for name, input in self.by_name.items() if given.get(name) is None and input.is_required]
        problems = [f"the workflow has no input {name!r}{self._similar(name)}" for name in unknown[:_MAX_UNKNOWN]]
        problems += [f"{more} more inputs are unknown"] if more > 0 else []
        problems += [
            f"the workflow's required input {input.name!r} is missing: add {input.spelling}" for input in missing
        ]
        return [*problems, self._listed()] if problems else []

    def _similar(self, name: str) -> str:
        similar = difflib.get_close_matches(name, self.by_name, n=1)
        return f": did you mean {similar[0]!r}?" if similar else ""

    def _listed(self) -> str:
        names = list(self.by_name)
        more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
        return f"its inputs are {', '.join(names[:_MAX_LISTED])}{more}" if names else "it has no inputs"


def declared_inputs(process: Mapping[str, object]) -> DeclaredInputs | None:
    """Return the inputs of a process of CWL, or None if they cannot be read without the documents that it imports."""
    inputs = process.get("inputs")
    if isinstance(inputs, Mapping):
        entries = [
            (str(name), value if isinstance(value, Mapping) else {"type": value}) for name, value in inputs.items()
        ]
    elif isinstance(inputs, list) and all(isinstance(entry, Mapping) for entry in inputs):
        entries = [(str(entry.get("id", "")), entry) for entry in inputs]
    else:
        return None
    if any(name in _IMPORTS or _IMPORTS & entry.keys() for name, entry in entries):
        return None
    found = [_input(_short(name), entry) for name, entry in entries]
    return DeclaredInputs({each.name: each for each in found}) if all(each.name for each in found) else None


def _input(name: str, entry: Mapping[str, object]) -> WorkflowInput:
    return WorkflowInput(name=name, types=_types(entry.get("type")), has_default=entry.get("default") is not None)


def _types(declared: object) -> tuple[InputType, ...]:
    if isinstance(declared, list):
        return tuple(type for each in declared for type in _types(each)) or (InputType(name=""),)
    if isinstance(declared, str):
        return _types_of_text(declared)
    name = declared.get("type") if isinstance(declared, Mapping) else None
    if not isinstance(declared, Mapping) or _IMPORTS & declared.keys():
        return (InputType(name=""),)
    if name == "array":
        return (InputType(name="array", items=_types(declared.get("items"))),)
    symbols = declared.get("symbols")
    if name == "enum" and isinstance(symbols, Sequence):
        return (InputType(name="enum", symbols=tuple(_short(str(symbol)) for symbol in symbols)),)
    return (InputType(name="record" if name == "record" else ""),)


def _types_of_text(text: str) -> tuple[InputType, ...]:
    if text.endswith("?"):
        return (InputType(name="null"), *_types_of_text(text[:-1]))
    if text.endswith("[]"):
        return (InputType(name="array", items=_types_of_text(text[:-2])),)
    name = "File" if text == "stdin" else text
    return (InputType(name=name if name in _PRIMITIVES else ""),)


def _short(id: str) -> str:
    """Return the name in an id such as `#main/reads` or `file.cwl#reads`."""
    return id.rpartition("#")[2].rpartition("/")[2]


def _is_input_name(name: str) -> bool:
    return name not in _RESERVED and ":" not in name and "$" not in name


def _described(type: InputType) -> str:
    if type.name == "array":
        return f"array of {' or '.join(_described(item) for item in type.items)}"
    return f"one of {', '.join(type.symbols)}" if type.name == "enum" else type.name or "another type"


def _example(type: InputType) -> object:
    examples: Mapping[str, object] = {
        **dict.fromkeys(_INTEGERS, 4),
        **dict.fromkeys(_NUMBERS, 0.5),
        "boolean": True,
        "string": "text",
        "enum": type.symbols[0] if type.symbols else "text",
        "record": {"name": "value"},
        **{kind: {"class": kind, "path": "PATH"} for kind in _FILES},
    }
    return [_example(type.items[0])] if type.name == "array" else examples.get(type.name, "text")


def _quoted(value: object) -> str:
    """Return the value as it is written in a shell; JSON needs quotation marks there."""
    if isinstance(value, list | dict):
        return f"'{json.dumps(value)}'"
    return value if isinstance(value, str) else json.dumps(value)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int():
            return "a whole number"
        case float():
            return "a number with a fraction or an exponent"
        case str():
            return "a text"
        case list():
            return "a list"
    kind = value.get("class") if isinstance(value, Mapping) else None
    return f"a {kind}" if kind in _FILES else "an object"
