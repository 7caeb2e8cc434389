"""What another program may import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import wes_daemon


@pytest.mark.parametrize("name", wes_daemon.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(wes_daemon, name).__name__ == name


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


def test_dir_lists_the_public_names() -> None:
    assert set(wes_daemon.__all__) <= set(dir(wes_daemon))
