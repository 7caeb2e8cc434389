"""What another program, a plug-in and a user's test may import."""

import ast
import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import wes_daemon
import wes_daemon.plugins
import wes_daemon.testing
from wes_daemon.plugins import setting_types

MODULES = (wes_daemon, wes_daemon.plugins, setting_types, wes_daemon.testing)

# A program passes units of work on, and reads nothing from them; a policy is read by the use cases.
OPAQUE = {"UnitOfWork", "SubmissionPolicy"}


@pytest.mark.parametrize("name", wes_daemon.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(getattr(wes_daemon, name), "__name__", name) == name


@pytest.mark.parametrize("module", MODULES[1:], ids=lambda module: str(module.__name__))
def test_every_listed_name_is_there_once(module: ModuleType) -> None:
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__))
def test_public_classes_and_functions_have_docstrings(module: ModuleType) -> None:
    public = {name: getattr(module, name) for name in module.__all__}
    own = {name: value for name, value in public.items() if inspect.isclass(value) or inspect.isfunction(value)}

    # A dataclass without a docstring gets its signature as one.
    assert [name for name, value in own.items() if (value.__doc__ or f"{name}(").startswith(f"{name}(")] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__))
def test_the_types_of_public_names_are_public(module: ModuleType) -> None:
    public = [getattr(each, name) for each in MODULES for name in each.__all__]

    missing = {
        f"{found.__module__}.{found.__name__} of {module.__name__}.{place}"
        for name in module.__all__
        if name not in OPAQUE
        for place, hint in _hints(name, getattr(module, name))
        for found in _own_types(hint)
        if not any(found is each for each in public)
    }

    assert missing == set()


def test_the_adapters_in_memory_are_the_same_in_both_modules() -> None:
    both = set(wes_daemon.__all__) & set(wes_daemon.testing.__all__)

    assert "MemoryStore" in both
    assert [name for name in both if getattr(wes_daemon, name) is not getattr(wes_daemon.testing, name)] == []


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(wes_daemon.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {(alias.name) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert seen == set(wes_daemon.__all__)
    assert set(wes_daemon.__all__) == set(wes_daemon._MODULE_OF)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = wes_daemon.Nonsense


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys, wes_daemon; print(*(set(sys.modules) & {'sqlalchemy', 'pydantic', 'boto3', 'rich'}))"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == ""


def test_importing_the_test_kit_loads_no_database_and_no_sdk() -> None:
    program = "import sys, wes_daemon.testing; print(*(set(sys.modules) & {'sqlalchemy', 'boto3', 'sevenbridges'}))"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == ""


def test_dir_lists_the_public_names() -> None:
    assert set(wes_daemon.__all__) <= set(dir(wes_daemon))


def _hints(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the types of a function, or of the attributes and methods of a class, each with its place."""
    if inspect.isfunction(value):
        yield from ((name, hint) for hint in typing.get_type_hints(value).values())
    if not inspect.isclass(value):
        return
    yield from ((f"{name}.{place}", hint) for place, hint in typing.get_type_hints(value).items() if place[0] != "_")
    for place, member in vars(value).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        is_public = place[0] != "_" or place == "__call__"
        if is_public and inspect.isfunction(function) and function.__module__.startswith("wes_daemon"):
            yield from ((f"{name}.{place}", hint) for hint in typing.get_type_hints(function).values())


def _own_types(hint: object) -> Iterator[type]:
    """Yield the types of this package in a type, also those of its arguments."""
    for argument in hint if isinstance(hint, list) else typing.get_args(hint):
        yield from _own_types(argument)
    found = typing.get_origin(hint) or hint
    is_named = isinstance(found, type | typing.NewType)
    if is_named and found.__module__.startswith("wes_daemon"):
        yield found  # type: ignore[misc]
