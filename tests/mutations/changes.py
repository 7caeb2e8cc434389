"""Changes of a syntax tree, each at a node that a pick selects."""

import ast
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from tests.mutations.picks import NoPlace, Pick, name_of, nodes

Change = Callable[[ast.AST], None]
"""Changes the tree below a node in place; raises `NoPlace` where that is impossible."""

Named = Enum | Callable[..., object]
"""Something of the package that code can refer to by its name."""

Node = TypeVar("Node", bound=ast.AST)


def drop(pick: Pick[ast.AST]) -> Change:
    """Remove a statement, an argument, an operand, an element, a dictionary entry or a condition of a comprehension.

    Of `a and b` or `a | b` the other operand is left, of an emptied block `pass`.
    """
    return lambda root: _drop(pick.find(root), root)


def replace(pick: Pick[Node], by: str | Callable[[Node], ast.AST], **others: Pick[ast.AST] | Named) -> Change:
    """Put something else in the place of a node.

    Args:
        by: a part of the node, as `lambda it: it.body`; or code, in which `_` stands for the node.
        others: what other names in the code stand for: further nodes, or classes, functions and enum members.
    """

    def change(root: ast.AST) -> None:
        node = pick.find(root)
        if isinstance(by, str):
            new = filled(by, _=node, **{name: _node_of(other, root) for name, other in others.items()})
        else:
            new = by(node)
        _place_of(node, root).put(new)

    return change


def always(pick: Pick[ast.If | ast.While]) -> Change:
    """Replace the condition of a statement by `True`."""
    return replace(pick.part(lambda it: it.test), "True")


def never(pick: Pick[ast.If | ast.While]) -> Change:
    """Replace the condition of a statement by `False`."""
    return replace(pick.part(lambda it: it.test), "False")


def move(pick: Pick[ast.stmt], *, after: Pick[ast.stmt]) -> Change:
    """Move a statement behind another one."""

    def change(root: ast.AST) -> None:
        statement, target = pick.find(root), after.find(root)
        _drop(statement, root)
        _place_of(target, root).insert(statement, offset=1)

    return change


def repeat(
    pick: Pick[ast.stmt], *, before: Pick[ast.stmt] | None = None, after: Pick[ast.stmt] | None = None
) -> Change:
    """Execute a statement at another place as well, directly before or after a second statement."""

    def change(root: ast.AST) -> None:
        for target, offset in ((before, 0), (after, 1)):
            if target is not None:
                _place_of(target.find(root), root).insert(deepcopy(pick.find(root)), offset=offset)

    return change


def replace_text(old: str, new: str) -> Change:
    """Replace a fragment that occurs once in all text constants, for example in SQL."""

    def change(root: ast.AST) -> None:
        texts = [node for node in nodes(root) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        count = sum(str(node.value).count(old) for node in texts)
        if count != 1:
            raise NoPlace(f"the text {old!r} occurs {count} times")
        for node in texts:
            node.value = str(node.value).replace(old, new)

    return change


def in_turn(*changes: Change) -> Change:
    """Several changes, one after the other."""

    def change(root: ast.AST) -> None:
        for each in changes:
            each(root)

    return change


def filled(code: str, **parts: ast.AST) -> ast.AST:
    """Parse an expression or a statement, and put copies of nodes in the place of these names."""
    [statement] = ast.parse(code).body
    filled_in = _Filling(parts).visit(statement)
    return filled_in.value if isinstance(filled_in, ast.Expr) else filled_in


def _node_of(other: Pick[ast.AST] | Named, root: ast.AST) -> ast.AST:
    match other:
        case Pick():
            return other.find(root)
        case Enum():
            return ast.Attribute(ast.Name(name_of(type(other))), name_of(other))
    return ast.Name(name_of(other))


class _Filling(ast.NodeTransformer):
    def __init__(self, parts: dict[str, ast.AST]) -> None:
        self._parts = parts

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return deepcopy(self._parts.get(node.id, node))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a node stands: in which field of its parent, and at which position if that is a list."""

    parent: ast.AST
    field: str
    index: int | None

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
            return
        if isinstance(self._list[self.index], ast.stmt) and isinstance(node, ast.expr):
            node = ast.Expr(node)
        self._list[self.index] = node

    def insert(self, statement: ast.stmt, *, offset: int) -> None:
        if self.index is None:
            raise NoPlace(f"`{ast.unparse(statement)}` cannot be inserted there")
        self._list.insert(self.index + offset, statement)

    def remove(self) -> None:
        if self.index is None:
            raise NoPlace(f"{type(self.parent).__name__} needs its {self.field}")
        removed = self._list.pop(self.index)
        if isinstance(self.parent, ast.Dict):
            self.parent.keys.pop(self.index)
        if isinstance(removed, ast.stmt) and not self._list:
            self._list.append(ast.Pass())

    @property
    def _list(self) -> list[ast.AST]:
        items: list[ast.AST] = getattr(self.parent, self.field)
        return items


def _place_of(node: ast.AST, root: ast.AST) -> _Place:
    for parent in nodes(root):
        for field, value in ast.iter_fields(parent):
            if value is node:
                return _Place(parent=parent, field=field, index=None)
            if isinstance(value, list) and any(item is node for item in value):
                index = next(index for index, item in enumerate(value) if item is node)
                return _Place(parent=parent, field=field, index=index)
    raise NoPlace(f"`{ast.unparse(node)}` is the whole place and not a part of it")


def _drop(node: ast.AST, root: ast.AST) -> None:
    place = _place_of(node, root)
    match place.parent:
        case ast.Expr() | ast.keyword():
            _drop(place.parent, root)
        case ast.BinOp(left=left, right=right):
            _place_of(place.parent, root).put(right if node is left else left)
        case ast.BoolOp(values=[first, second]):
            _place_of(place.parent, root).put(second if node is first else first)
        case _:
            place.remove()
