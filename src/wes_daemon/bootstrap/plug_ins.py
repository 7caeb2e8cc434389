"""Finds the plug-ins of providers by their entry points."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wes_daemon.domain.runs import ProviderType
from wes_daemon.plugins import CONTRACT_VERSION, ENTRY_POINT_GROUP, ProviderPlugin, ProviderSettings, ProviderTraits

_OWN_DISTRIBUTION = "wes-daemon"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPlugin:
    """One kind of provider that is installed.

    Attributes:
        distribution: the distribution that brings it.
        version: of that distribution.
        plugin: None if it is broken.
        problem: why it is broken and what fixes it; empty if it is not.
    """

    kind: ProviderType
    distribution: str
    version: str
    plugin: ProviderPlugin[Any] | None = None
    problem: str = ""


@cache
def installed_plugins() -> Mapping[ProviderType, InstalledPlugin]:
    """Return all kinds of providers that are installed, those of wes-daemon itself first.

    A plug-in that cannot be used is among them, with its problem: no error of a plug-in ends the program.
    """
    by_name: dict[str, list[EntryPoint]] = defaultdict(list)
    for found in entry_points(group=ENTRY_POINT_GROUP):
        # A directory that is on the path twice repeats its distributions.
        if not any(_are_same(found, each) for each in by_name[found.name]):
            by_name[found.name].append(found)
    installed = [_installed(name, found) for name, found in by_name.items() if _is_name(name)]
    ordered = sorted(installed, key=lambda each: (each.distribution != _OWN_DISTRIBUTION, each.kind))
    return {each.kind: each for each in ordered}


def unnamed_plugins() -> Mapping[str, str]:
    """Return the entry points whose name is no provider's name, each with what is wrong with it."""
    found = (each for each in entry_points(group=ENTRY_POINT_GROUP) if not _is_name(each.name))
    return {each.name: f"the distribution {_distribution(each)} gives its plug-in no provider's name" for each in found}


def _installed(name: str, found: Sequence[EntryPoint]) -> InstalledPlugin:
    """Load one plug-in. A name that a provider of wes-daemon has cannot be taken by another distribution."""
    own = [each for each in found if _distribution(each) == _OWN_DISTRIBUTION]
    used = (own or list(found))[0]
    distribution, version = _distribution(used), used.dist.version if used.dist else ""
    kind = ProviderType(name)
    if len(found) > 1 and not own:
        others = " and ".join(sorted({_distribution(each) for each in found}))
        problem = f"the distributions {others} both bring a provider {name}: uninstall one of them"
        return InstalledPlugin(kind=kind, distribution=distribution, version=version, problem=problem)
    plugin, problem = _load(used, kind)
    if problem:
        problem = f"the plug-in {name} of the distribution {distribution} {version} {problem}"
    return InstalledPlugin(kind=kind, distribution=distribution, version=version, plugin=plugin, problem=problem)


def _load(entry_point: EntryPoint, kind: ProviderType) -> tuple[ProviderPlugin[Any] | None, str]:
    """Return the plug-in, or None and the end of a sentence that says why it cannot be used."""
    try:
        found = entry_point.load()
        if not (isinstance(found, type) and issubclass(found, ProviderPlugin)):
            return None, f"is disabled: {entry_point.value} is no subclass of wes_daemon.plugins.ProviderPlugin"
        problem = _problem_of(found, kind)
        return (None, problem) if problem else (found(), "")
    except Exception as error:  # noqa: BLE001 - a foreign plug-in may raise anything, and disables only itself
        return None, f"is disabled: it cannot be imported: {type(error).__name__}: {error}"


def _problem_of(plugin: type[ProviderPlugin[Any]], kind: ProviderType) -> str:
    contract = getattr(plugin, "contract", None)
    if contract != CONTRACT_VERSION:
        return (
            f"is disabled: it declares the contract version {contract}, and this wes-daemon has {CONTRACT_VERSION}: "
            "install versions that fit each other"
        )
    if getattr(plugin, "name", None) != kind:
        return f"is disabled: its attribute name is {getattr(plugin, 'name', None)!r}, not {kind!r}"
    settings = getattr(plugin, "settings", None)
    if not (isinstance(settings, type) and issubclass(settings, ProviderSettings)):
        return "is disabled: its attribute settings is no subclass of wes_daemon.plugins.ProviderSettings"
    if not isinstance(getattr(plugin, "traits", None), ProviderTraits):
        return "is disabled: its attribute traits is no wes_daemon.plugins.ProviderTraits"
    unnamed = [name for name, field in settings.model_fields.items() if not isinstance(field.validation_alias, str)]
    return f"is disabled: its settings {', '.join(unnamed)} have no validation_alias" if unnamed else ""


def _are_same(one: EntryPoint, other: EntryPoint) -> bool:
    return (one.value, _distribution(one)) == (other.value, _distribution(other))


def _is_name(name: str) -> bool:
    try:
        ProviderType(name)
    except ValueError:
        return False
    return True


def _distribution(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist else "unknown"
