"""Each pick selects its node, and each change does what it says, whatever the formatting."""

import ast
from enum import Enum, auto
from functools import cached_property
from textwrap import dedent

import pytest

from tests.mutations.changes import (
    Change,
    always,
    drop,
    filled,
    in_turn,
    move,
    never,
    repeat,
    replace,
    replace_text,
)
from tests.mutations.picks import (
    NoPlace,
    Pick,
    argument,
    call,
    calls,
    constant,
    entry,
    field_of,
    handler,
    has,
    holds,
    name_of,
    raises,
    receiver,
    the,
    uses,
)
from wes_daemon.adapters.persistence.tables import submissions
from wes_daemon.application.ports.submissions import Claim


class Colour(Enum):
    RED = auto()
    BLUE = auto()


def picked(pick: Pick[ast.AST], code: str) -> str:
    return ast.unparse(pick.find(ast.parse(code)))


def changed(change: Change, code: str) -> str:
    tree = ast.parse(dedent(code))
    change(tree)
    return ast.unparse(tree)


class TestPicks:
    @pytest.mark.parametrize(
        ("pick", "code", "expected"),
        [
            (the(ast.BinOp), "a = (1\n + 2)", "1 + 2"),
            (the(ast.Compare, has(ast.Lt)), "a < b or c > d", "a < b"),
            (the(ast.Compare, uses("owner")), "where(t.c.owner == x, t.c.seq == y)", "t.c.owner == x"),
            (the(ast.Expr, calls("commit")), "work.begin()\nwork.commit()", "work.commit()"),
            (the(ast.Expr, holds("b")), "f('a')\nf('b')", "f('b')"),
            (
                the(ast.If, raises(ValueError)),
                "if a: f()\nif b: raise ValueError('c')",
                "if b:\n    raise ValueError('c')",
            ),
            (the(ast.If, raises(ValueError)), "if a:\n  if b: raise ValueError", "if b:\n    raise ValueError"),
            (the(ast.Return, nth=-1), "def f():\n  if a: return 1\n  return 2", "return 2"),
            (the(ast.Lambda).the(ast.Constant), "f(1, lambda: 2)", "2"),
            (the(ast.IfExp).part(lambda it: it.orelse), "a if b else c", "c"),
            (call("submit"), "self.pool.submit(x)", "self.pool.submit(x)"),
            (call("max").part(lambda it: it.args[1]), "max(a, b)", "b"),
            (call("commit").part(receiver), "self.work.commit()", "self.work"),
            (argument("limit"), "f(1, limit=2)", "2"),
            (entry("name"), "{'id': 1, 'name': 2, **others}", "2"),
            (entry(Colour.BLUE), "{Colour.RED: 1, Colour.BLUE: 2}", "2"),
            (handler(KeyError).the(ast.Return), "try: f()\nexcept (KeyError, OSError): return 1", "return 1"),
            (constant(None), "f(0, False, None)", "None"),
            (constant(0), "f(0, False, None)", "0"),
        ],
    )
    def test_the_node_is_selected(self, pick: Pick[ast.AST], code: str, expected: str) -> None:
        assert picked(pick, code) == expected

    @pytest.mark.parametrize(
        ("pick", "code", "problem"),
        [
            (the(ast.BinOp), "1 + 2; 3 + 4", "`BinOp` matches 2 nodes"),
            (the(ast.If, raises(ValueError)), "f()", "`If raises ValueError` matches 0 nodes"),
            (the(ast.BinOp, nth=2), "1 + 2; 3 + 4", "`BinOp` matches 2 nodes"),
            (call("f").part(lambda it: it.args[1]), "f(1)", "has no such part"),
            (call("f").part(receiver), "f(1)", "no method is called"),
            (entry("a"), "{'a': 1}, {'a': 2}", "the key a occurs 2 times"),
        ],
    )
    def test_no_node_or_several_are_refused(self, pick: Pick[ast.AST], code: str, problem: str) -> None:
        with pytest.raises(NoPlace, match=problem):
            picked(pick, code)


class TestNames:
    class Named:
        @property
        def a_property(self) -> int:
            return 1

        @cached_property
        def a_cached_property(self) -> int:
            return 1

        def a_method(self) -> None: ...

    @pytest.mark.parametrize(
        ("reference", "name"),
        [
            ("a text", "a text"),
            (Named, "Named"),
            (Named.a_method, "a_method"),
            (Named.a_property, "a_property"),
            (Named.a_cached_property, "a_cached_property"),
            (Colour.RED, "RED"),
            (submissions.c.run_id, "run_id"),
            (field_of(Claim).resumed, "resumed"),
        ],
    )
    def test_an_object_has_the_name_that_code_uses(self, reference: object, name: str) -> None:
        assert name_of(reference) == name

    def test_a_field_that_a_class_does_not_have_is_refused(self) -> None:
        with pytest.raises(AttributeError, match="Claim has no field resume"):
            _ = field_of(Claim).resume  # type: ignore[attr-defined]


class TestDropping:
    @pytest.mark.parametrize(
        ("pick", "code", "expected"),
        [
            (the(ast.If), "a()\nif b: c()", "a()"),
            (call("commit"), "work.add()\nwork.commit()", "work.add()"),
            (call("commit"), "with work:\n    work.commit()", "with work:\n    pass"),
            (argument("limit"), "f(1, limit=2)", "f(1)"),
            (constant(1), "f(1, limit=2)", "f(limit=2)"),
            (constant(1), "(1, 2)", "(2,)"),
            (constant(1), "{1, 2}", "{2}"),
            (entry("a"), "{'a': 1, 'b': 2}", "{'b': 2}"),
            (the(ast.UnaryOp), "a and not b", "a"),
            (the(ast.UnaryOp), "a and not b and c", "a and c"),
            (the(ast.Name, uses("b")), "a | b", "a"),
            (the(ast.Compare), "[a for a in b if a > 1]", "[a for a in b]"),
            (the(ast.Name, uses("cache")), "@cache\ndef f(): ...", "def f():\n    ..."),
        ],
    )
    def test_the_node_is_removed(self, pick: Pick[ast.AST], code: str, expected: str) -> None:
        assert changed(drop(pick), code) == expected

    def test_a_node_that_its_parent_needs_is_refused(self) -> None:
        with pytest.raises(NoPlace, match="Assign needs its value"):
            changed(drop(constant(1)), "a = 1")

    def test_the_whole_place_is_refused(self) -> None:
        with pytest.raises(NoPlace, match="is the whole place"):
            changed(drop(the(ast.Module)), "a = 1")


class TestReplacing:
    @pytest.mark.parametrize(
        ("change", "code", "expected"),
        [
            (replace(the(ast.Return), "raise"), "def f():\n    return 1", "def f():\n    raise"),
            (replace(the(ast.IfExp), lambda it: it.body), "a if b else c", "a"),
            (replace(constant(1), "(_, _)"), "f(1)", "f((1, 1))"),
            (replace(call("a"), "b", b=call("c")), "a(1)\nc(2)", "c(2)\nc(2)"),
            (replace(constant(1), "red", red=Colour.RED), "f(1)", "f(Colour.RED)"),
            (replace(constant(1), "error(_)", error=ValueError), "f(1)", "f(ValueError(1))"),
            (replace(the(ast.If), "f()"), "if a: b()", "f()"),
            (always(the(ast.If)), "if a: b()", "if True:\n    b()"),
            (never(the(ast.While)), "while a: b()", "while False:\n    b()"),
            (replace_text("FULL", "OFF"), 'f(f"sync=FULL {a}")', "f(f'sync=OFF {a}')"),
        ],
    )
    def test_the_node_is_replaced(self, change: Change, code: str, expected: str) -> None:
        assert changed(change, code) == expected

    @pytest.mark.parametrize("code", ["f('OFF')", "f('FULL', 'FULL')"])
    def test_a_text_that_does_not_occur_once_is_refused(self, code: str) -> None:
        with pytest.raises(NoPlace, match=r"the text 'FULL' occurs [02] times"):
            changed(replace_text("FULL", "OFF"), code)

    def test_code_is_filled_with_copies(self) -> None:
        part = ast.Name("x")

        filled("_ + _", _=part)

        assert filled("_ + _", _=part).left is not part  # type: ignore[attr-defined]


class TestMoving:
    CODE = "a()\nb()\nc()"

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (move(the(ast.Expr, calls("a")), after=the(ast.Expr, calls("b"))), "b()\na()\nc()"),
            (repeat(the(ast.Expr, calls("c")), before=the(ast.Expr, calls("b"))), "a()\nc()\nb()\nc()"),
            (repeat(the(ast.Expr, calls("a")), after=the(ast.Expr, calls("b"))), "a()\nb()\na()\nc()"),
            (in_turn(drop(call("a")), drop(call("c"))), "b()"),
        ],
    )
    def test_statements_change_places(self, change: Change, expected: str) -> None:
        assert changed(change, self.CODE) == expected

    def test_an_expression_has_no_place_for_a_statement(self) -> None:
        with pytest.raises(NoPlace):
            changed(move(the(ast.Expr), after=the(ast.Module).part(lambda it: it.body[0])), "a()")
