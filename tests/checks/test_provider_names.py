"""No module mentions a provider, except the provider's own package: a provider is added without a change elsewhere."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from wes_daemon.bootstrap.plug_ins import installed_plugins

PACKAGE = Path(__file__).parents[2] / "src/wes_daemon"

ALLOWED: Mapping[str, str] = {
    "domain/runs.py": "the constants of the built-in providers, and the default that the former daemon had",
    "entrypoints/cli/submit.py": "an example in the help",
}
"""The modules that may, and what they mention."""

_SHORTEST_WORD = 6
"""Shorter names are words of their own, such as `local`: they count where nothing else can be meant."""


def _mentions(tree: ast.AST) -> Iterator[str]:
    """Yield the names and the texts in a module, without comments and docstrings."""
    documents = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
        if isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if node not in documents:
                yield text
            case ast.Name(id=text) | ast.arg(arg=text) | ast.alias(name=text) | ast.keyword(arg=str(text)):
                yield text
            case ast.FunctionDef(name=text) | ast.ClassDef(name=text):
                yield text
            case ast.Attribute(value=ast.Name(id=owner), attr=text):
                yield f"{owner}.{text}"
            case ast.Attribute(attr=text):
                yield text
            case ast.ImportFrom(module=str(text)):
                yield text


def _pattern(kind: str) -> re.Pattern[str]:
    """Return what a mention of a provider looks like: its name, its title, a setting, a module, its constant."""
    plugin = installed_plugins()[kind].plugin  # type: ignore[index]
    assert plugin is not None
    settings = [str(field.validation_alias) for field in plugin.settings.model_fields.values()]
    constant = f"ProviderType.{kind.upper().replace('-', '_')}"
    names = [constant, f"adapters.providers.{kind}", plugin.traits.title, *settings]
    words = [kind] if len(kind) >= _SHORTEST_WORD else []
    return re.compile(f"^{kind}$|(?i:{'|'.join(map(re.escape, [*names, *words]))})")


def _own() -> list[str]:
    return [kind for kind, installed in installed_plugins().items() if installed.distribution == "wes-daemon"]


@pytest.mark.parametrize("kind", _own())
def test_only_its_own_package_mentions_a_provider(kind: str) -> None:
    pattern, own = _pattern(kind), PACKAGE / "adapters/providers" / kind

    found = {
        f"{path.relative_to(PACKAGE)}: {text[:80]}"
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(own) and str(path.relative_to(PACKAGE)) not in ALLOWED
        for text in _mentions(ast.parse(path.read_text()))
        if pattern.search(text)
    }

    assert found == set()


def test_the_modules_that_may_mention_a_provider_do() -> None:
    patterns = [_pattern(kind) for kind in _own()]
    texts = {path: list(_mentions(ast.parse((PACKAGE / path).read_text()))) for path in ALLOWED}

    assert [
        path for path in ALLOWED if not any(pattern.search(text) for pattern in patterns for text in texts[path])
    ] == []


@pytest.mark.parametrize(
    "line",
    [
        "ProviderType.HEALTHOMICS",
        "from wes_daemon.adapters.providers.healthomics.plugin import HealthOmicsPlugin",
        "name = 'healthomics'",
        "environment['AWS_HEALTHOMICS_OUTPUT_URI']",
        "def healthomics_region(): ...",
    ],
)
def test_a_mention_is_found(line: str) -> None:
    assert any(_pattern("healthomics").search(text) for text in _mentions(ast.parse(line)))
