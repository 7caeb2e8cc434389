"""Finds the plug-ins of providers by their entry points."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedPlugin:
    """An entry point that cannot be used, beside those of `installed_plugins`.

    Attributes:
        problem: why, and what fixes it.
    """

    name: str
    distribution: str
    version: str
    problem: str


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


def unused_plugins() -> Sequence[UnusedPlugin]:
    """Return the entry points that have no provider's name, or the name of a provider of wes-daemon."""
    found = list(entry_points(group=ENTRY_POINT_GROUP))
    own = {each.name for each in found if _distribution(each) == _OWN_DISTRIBUTION}
    problems = [(each, _problem_of_name(each.name, own)) for each in found if _distribution(each) != _OWN_DISTRIBUTION]
    return [
        UnusedPlugin(
            name=each.name,
            distribution=_distribution(each),
            version=_version(each),
            problem=f"the plug-in {each.name} of the distribution {_distribution(each)} {_version(each)} {problem}",
        )
        for each, problem in problems
        if problem
    ]


def disabled(installed: InstalledPlugin, error: Exception) -> InstalledPlugin:
    """Return the plug-in as one that is broken, after it raised an error that its methods must not raise."""
    problem = (
        f"the plug-in {installed.kind} of the distribution {installed.distribution} {installed.version} is disabled: "
        f"it cannot read its settings: {type(error).__name__}"
    )
    return replace(installed, plugin=None, problem=problem)


def _installed(name: str, found: Sequence[EntryPoint]) -> InstalledPlugin:
    """Load one plug-in. A name that a provider of wes-daemon has cannot be taken by another distribution."""
    own = [each for each in found if _distribution(each) == _OWN_DISTRIBUTION]
    used = (own or list(found))[0]
    distribution, version = _distribution(used), _version(used)
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
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a foreign plug-in may raise anything, and disables only itself
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


def _problem_of_name(name: str, own: Collection[str]) -> str:
    """Return the end of a sentence that says why an entry point of another distribution cannot have this name."""
    if name in own:
        return f"is disabled: wes-daemon itself has a provider {name}; uninstall the distribution"
    return "" if _is_name(name) else "is disabled: its name is no provider's name"


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


def _version(entry_point: EntryPoint) -> str:
    return entry_point.dist.version if entry_point.dist else ""
