"""A planted bug: a small change of the package that the test suite has to detect."""

import ast
import builtins
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType

from tests.mutations.changes import Change
from tests.mutations.picks import NoPlace, nodes

PACKAGE = Path("src/wes_daemon")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a module, found by its value: `Variable(states, states.FOLLOWS)`."""

    module: ModuleType
    value: object

    @property
    def name(self) -> str:
        """The variable's name.

        Raises:
            NoPlace: no variable of the module has the value, or several have it.
        """
        found = [name for name, value in vars(self.module).items() if value is self.value]
        if len(found) != 1:
            raise NoPlace(f"{len(found)} variables of {self.module.__name__} have this value")
        return found[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One small change of the package, and the tests that have to detect it.

    Attributes:
        name: identifies the mutant on the command line.
        breaks: the consequence, in one sentence.
        at: the function, method, property, class, `Variable` or module that is changed.
        change: what is changed within it.
        tests: arguments for pytest; few enough to take seconds.
        hangs_after: a run of the tests that takes longer has detected the mutant; None where a test has to fail.
    """

    name: str
    breaks: str
    at: object
    change: Change
    tests: Sequence[str]
    hangs_after: timedelta | None = None

    @property
    def path(self) -> Path:
        """The changed file, relative to the root of the repository."""
        module, _ = _address(self.at)
        folder = PACKAGE.parent if module.split(".")[0] == PACKAGE.name else Path()
        return folder.joinpath(*module.split(".")).with_suffix(".py")

    def planted_in(self, text: str) -> str:
        """The source text of the file with the change applied; comments and formatting are lost.

        Raises:
            NoPlace: the code has nothing to change there, or the change uses a name that the file does not know.
        """
        tree = ast.parse(text)
        known = _identifiers(tree) | set(dir(builtins))
        try:
            _, names = _address(self.at)
            self.change(_definition(tree, names))
        except NoPlace as error:
            raise NoPlace(f"mutant {self.name} has to be revised: {self.path}: {error}") from error
        if unknown := _identifiers(tree) - known:
            raise NoPlace(f"mutant {self.name} has to be revised: {self.path} does not know {', '.join(unknown)}")
        return ast.unparse(ast.fix_missing_locations(tree))


def _address(at: object) -> tuple[str, Sequence[str]]:
    """The module's name, and the names that lead from the module to the definition."""
    match at:
        case ModuleType():
            return at.__name__, ()
        case Variable():
            return at.module.__name__, (at.name,)
        case property(fget=getter) | cached_property(func=getter) if getter is not None:
            return _address(getter)
    original = inspect.unwrap(at)  # type: ignore[arg-type]  # classes and functions are left
    return original.__module__, original.__qualname__.split(".")


def _definition(tree: ast.Module, names: Sequence[str]) -> ast.AST:
    """The function, the class or the assignment under these names."""
    found: ast.AST = tree
    for name in names:
        candidates = [each for each in ast.iter_child_nodes(found) if name in _defines(each)]
        if len(candidates) != 1:
            raise NoPlace(f"{'.'.join(names)} is defined {len(candidates)} times")
        found = candidates[0]
    return found


def _defines(statement: ast.AST) -> Sequence[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _identifiers(tree: ast.AST) -> set[str]:
    """All names of variables, functions, classes and private attributes that the code defines or uses."""
    found = set[str]()
    for node in nodes(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                found.add(name)
            case ast.Attribute(attr=name) if name.startswith("_"):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.alias(name=name, asname=asname):
                found.add(asname or name)
    return found
