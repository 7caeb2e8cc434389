"""Selects one node of a syntax tree by what it contains, so that formatting and local names do not matter."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Generic, TypeVar, cast

from sqlalchemy import Column

Node = TypeVar("Node", bound=ast.AST)
Part = TypeVar("Part", bound=ast.AST)
Fields = TypeVar("Fields")
Picked = TypeVar("Picked", bound=ast.AST, covariant=True)


class NoPlace(Exception):
    """The code no longer has the place that a mutant changes; the mutant has to be revised."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether a node qualifies; `text` describes it in error messages."""

    text: str
    holds: Callable[[ast.AST], bool]


@dataclass(frozen=True, slots=True)
class Pick(Generic[Picked]):
    """Selects one node below a given one.

    Attributes:
        find: returns the node; raises `NoPlace` where none qualifies, or more than one.
    """

    find: Callable[[ast.AST], Picked]

    def the(self, kind: type[Part], *conditions: Condition, nth: int | None = None) -> "Pick[Part]":
        """Select a node within the selected one, as the function `the` does."""
        inner = the(kind, *conditions, nth=nth)
        return Pick(lambda root: inner.find(self.find(root)))

    def part(self, choose: Callable[[Picked], Part]) -> "Pick[Part]":
        """Select a direct part of the selected node: `call(max).part(lambda it: it.args[0])`."""

        def find(root: ast.AST) -> Part:
            node = self.find(root)
            try:
                return choose(node)
            except (AttributeError, IndexError) as error:
                raise NoPlace(f"`{ast.unparse(node)}` has no such part: {error}") from error

        return Pick(find)


def the(kind: type[Node], *conditions: Condition, nth: int | None = None) -> Pick[Node]:
    """Select the node of this kind that meets all conditions.

    Where qualifying nodes contain each other, only the innermost ones count.

    Args:
        nth: which of several qualifying nodes, in the order of the source; without it there must be exactly one.
    """

    def find(root: ast.AST) -> Node:
        found = [
            node for node in nodes(root) if isinstance(node, kind) and all(each.holds(node) for each in conditions)
        ]
        innermost = [node for node in found if not any(inner in found for inner in nodes(node) if inner is not node)]
        try:
            [node] = innermost if nth is None else [innermost[nth]]
        except (IndexError, ValueError) as error:
            described = " ".join([kind.__name__, *(each.text for each in conditions)])
            raise NoPlace(f"`{described}` matches {len(innermost)} nodes") from error
        return node

    return Pick(find)


def call(reference: object, *conditions: Condition, nth: int | None = None) -> Pick[ast.Call]:
    """Select the call of a function or method of this name."""
    name = name_of(reference)
    return the(ast.Call, Condition(f"of {name}", lambda node: _is_call(node, name)), *conditions, nth=nth)


def argument(reference: object, nth: int | None = None) -> Pick[ast.expr]:
    """Select the value of the keyword argument of this name."""
    name = name_of(reference)
    named = Condition(name, lambda node: isinstance(node, ast.keyword) and node.arg == name)
    return the(ast.keyword, named, nth=nth).part(lambda it: it.value)


def entry(key: object) -> Pick[ast.expr]:
    """Select the value that stands in a dictionary under this key: a text, or the name of a constant."""
    name = name_of(key)

    def find(root: ast.AST) -> ast.expr:
        dictionaries = [node for node in nodes(root) if isinstance(node, ast.Dict)]
        pairs = [pair for each in dictionaries for pair in zip(each.keys, each.values, strict=True)]
        found = [value for key, value in pairs if key is not None and name in (identifier(key), _value_of(key))]
        if len(found) != 1:
            raise NoPlace(f"the key {name} occurs {len(found)} times")
        return found[0]

    return Pick(find)


def handler(error: type[BaseException]) -> Pick[ast.ExceptHandler]:
    """Select the `except` clause that catches this error."""
    caught = uses(error)
    return the(
        ast.ExceptHandler,
        Condition(
            f"for {error.__name__}",
            lambda node: isinstance(node, ast.ExceptHandler) and node.type is not None and caught.holds(node.type),
        ),
    )


def constant(value: object, nth: int | None = None) -> Pick[ast.Constant]:
    """Select the number, text, `True`, `False` or `None`."""
    return the(ast.Constant, holds(value), nth=nth)


def uses(reference: object) -> Condition:
    """Within the node a variable or an attribute of this name is read or set."""
    name = name_of(reference)
    return Condition(f"uses {name}", lambda node: any(identifier(each) == name for each in nodes(node)))


def calls(reference: object) -> Condition:
    """Within the node a function or method of this name is called."""
    name = name_of(reference)
    return Condition(f"calls {name}", lambda node: any(_is_call(each, name) for each in nodes(node)))


def raises(error: type[BaseException]) -> Condition:
    """Within the node this error is raised."""
    raised = Condition("", lambda node: isinstance(node, ast.Raise) and node.exc is not None)
    used = uses(error)
    return Condition(
        f"raises {error.__name__}",
        lambda node: any(raised.holds(each) and used.holds(each) for each in nodes(node)),
    )


def has(kind: type[ast.AST]) -> Condition:
    """Within the node there is a node of this kind, for example an operator."""
    return Condition(f"has {kind.__name__}", lambda node: any(isinstance(each, kind) for each in nodes(node)))


def holds(value: object) -> Condition:
    """Within the node this constant occurs."""

    def is_it(node: ast.AST) -> bool:
        return isinstance(node, ast.Constant) and type(node.value) is type(value) and node.value == value

    return Condition(f"holds {value!r}", lambda node: any(is_it(each) for each in nodes(node)))


def receiver(method_call: ast.Call) -> ast.expr:
    """The object whose method is called.

    Raises:
        AttributeError: a function is called, not a method.
    """
    if isinstance(method_call.func, ast.Attribute):
        return method_call.func.value
    raise AttributeError("no method is called")


def name_of(reference: object) -> str:
    """The last identifier under which code uses an object: a function, class, property, column or enum member.

    A text stands for itself; it is meant for keys, and for names that other packages define.
    """
    match reference:
        case Enum():
            return reference.name
        case str():
            return reference
        case property(fget=getter) | cached_property(func=getter) if getter is not None:
            return name_of(getter)
        case Column():
            return str(reference.key)
    return str(reference.__name__)  # type: ignore[attr-defined]  # functions and classes have it


def field_of(kind: type[Fields]) -> Fields:
    """An object whose attributes are their own names: `field_of(Claim).resumed` is "resumed".

    Type checkers and renaming tools treat the field as one that the code reads.
    """
    return cast(Fields, _NamesOfFields(kind))


def identifier(node: ast.AST) -> str | None:
    """The last identifier of a name or an attribute; None for any other node."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
    return None


def nodes(root: ast.AST) -> Iterator[ast.AST]:
    """The node and all nodes below it, in the order of the source."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(list(ast.iter_child_nodes(node))))


class _NamesOfFields:
    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __getattr__(self, name: str) -> str:
        if not hasattr(self._kind, name):
            raise AttributeError(f"{self._kind.__name__} has no field {name}")
        return name


def _is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and identifier(node.func) == name


def _value_of(node: ast.AST) -> object:
    return node.value if isinstance(node, ast.Constant) else None
