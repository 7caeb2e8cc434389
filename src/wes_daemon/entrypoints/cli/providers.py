"""`wes-daemon providers`: shows the installed providers, and what those that are not enabled lack."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from wes_daemon.entrypoints.cli.errors import ExitCode, one_line
from wes_daemon.entrypoints.cli.options import json_option
from wes_daemon.entrypoints.cli.session import log_to_stderr, settings_of

if TYPE_CHECKING:
    from wes_daemon.bootstrap.plug_ins import UnusedPlugin
    from wes_daemon.bootstrap.provider_settings import ProviderInstance
    from wes_daemon.bootstrap.settings import Settings
    from wes_daemon.plugins import Examination


@click.command("providers")
@click.option("--check", is_flag=True, help="Also send each enabled provider a request that changes nothing.")
@json_option
@click.pass_context
def providers(ctx: click.Context, check: bool, as_json: bool) -> int:
    """Show the installed providers.

    A provider is enabled if its settings suffice, not configured if settings are missing, or broken. With --check,
    exits 3 if a check of an enabled provider fails.
    """
    settings = settings_of(ctx)
    log_to_stderr(ctx, settings)
    examined = _examine(settings) if check else {}
    if as_json:
        from wes_daemon.entrypoints.cli.documents import json_text

        documents = [_document(each, examined.get(each.name)) for each in settings.providers.values()]
        click.echo(json_text([*documents, *map(_unused_document, _unused())]))
    else:
        for each in settings.providers.values():
            _print(each, examined.get(each.name, []))
        for unused in _unused():
            click.echo(f"{one_line(unused.name)}: broken ({unused.distribution} {unused.version})")
            click.echo(f"  {one_line(unused.problem)}")
    failed = any(examination.problem for found in examined.values() for examination in found)
    return ExitCode.MISCONFIGURED if failed else ExitCode.DONE


def _examine(settings: "Settings") -> "dict[str, list[Examination]]":
    from wes_daemon.bootstrap.providers import examine

    return {each.name: list(examine(each, settings)) for each in settings.providers.values() if each.is_enabled}


def _unused() -> "Sequence[UnusedPlugin]":
    from wes_daemon.bootstrap.plug_ins import unused_plugins

    return unused_plugins()


def _unused_document(unused: "UnusedPlugin") -> dict[str, object]:
    return {
        "name": unused.name,
        "kind": unused.name,
        "state": "broken",
        "problem": unused.problem,
        "distribution": unused.distribution,
        "version": unused.version,
    }


def _state(instance: "ProviderInstance") -> str:
    if instance.is_enabled:
        return "enabled"
    return "not configured" if instance.plugin else "broken"


def _document(instance: "ProviderInstance", examined: "list[Examination] | None") -> dict[str, object]:
    installed = instance.installed
    document: dict[str, object] = {
        "name": instance.name,
        "kind": instance.kind,
        "state": _state(instance).replace(" ", "_"),
        "target": instance.target or None,
        "problem": instance.problem or None,
        "distribution": installed.distribution if installed else None,
        "version": installed.version if installed else None,
        "source": instance.source,
        "max_concurrent": instance.max_concurrent,
    }
    if examined is not None:
        document["checks"] = [{"subject": each.subject, "problem": each.problem or None} for each in examined]
    return document


def _print(instance: "ProviderInstance", examined: "list[Examination]") -> None:
    installed = instance.installed
    origin = f"{installed.distribution} {installed.version}" if installed else "not installed"
    kind = "" if instance.kind == instance.name else f", kind {instance.kind}"
    click.echo(f"{instance.name}: {_state(instance)} ({origin}{kind}, settings from the {_shown_source(instance)})")
    click.echo(f"  {one_line(instance.target or instance.problem)}")
    for each in examined:
        click.echo(f"  {one_line(each.subject)}: {one_line(each.problem) if each.problem else 'ok'}")


def _shown_source(instance: "ProviderInstance") -> str:
    from wes_daemon.bootstrap.provider_settings import ENVIRONMENT

    return ENVIRONMENT if instance.source == ENVIRONMENT else f"file {instance.source}"
