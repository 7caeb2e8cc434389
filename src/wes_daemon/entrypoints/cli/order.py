"""What `wes-daemon submit` was told, made into a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from wes_daemon.domain.runs import PROVIDER_TYPE_TAG, Attachment, ProviderType, WorkflowRequest
from wes_daemon.entrypoints.cli.parameters import (
    file_parameters,
    given_parameters,
    named_values,
    with_absolute_files,
)
from wes_daemon.entrypoints.cli.paths import at_home
from wes_daemon.entrypoints.cli.workflow_source import (
    WorkflowSource,
    attachments,
    find_workflow,
    read_attachments,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The arguments of `submit` that say what is to be run, as they were written."""

    workflow: str
    values: Sequence[str] = ()
    params: str | None = None
    type: str | None = None
    type_version: str | None = None
    tags: Sequence[str] = ()
    provider: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    engine_parameters: Sequence[str] = ()
    attach: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedOrder:
    """What is queued."""

    request: WorkflowRequest
    tags: Mapping[str, object] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()


def place(order: Order, *, default_provider: ProviderType) -> PlacedOrder:
    """Read everything that the order names.

    Raises:
        click.UsageError: something in it cannot be meant as it is written.
    """
    if order.engine_version and not order.engine:
        raise click.UsageError("--engine-version needs --engine: a version of which engine?")
    names = [text.partition("=")[0] for text in order.attach]
    source = find_workflow(order.workflow, names)
    files = read_attachments(order.attach, beside=source.file)
    url, files = _with_workflow(source, files)
    tags = _tags(order)
    runs_here = destination(tags, default_provider) is ProviderType.LOCAL
    request = WorkflowRequest(
        workflow_url=url,
        workflow_type=order.type or source.type,
        workflow_type_version=order.type_version or source.type_version(order.type or source.type),
        workflow_params=_parameters(order, resolve=not files and runs_here),
        workflow_engine=order.engine,
        workflow_engine_version=order.engine_version,
        workflow_engine_parameters=named_values(order.engine_parameters, "--engine-parameter"),
    )
    return PlacedOrder(request=request, tags=tags, attachments=attachments(files))


def _with_workflow(source: WorkflowSource, files: dict[str, Path]) -> tuple[str, dict[str, Path]]:
    """Where anything is attached, a workflow's file is, too: it refers to the others by their names beside it."""
    if not files or source.file is None:
        return source.url, files
    known = next((name for name, file in files.items() if file == source.file), source.file.name)
    if files.get(known, source.file) != source.file:
        raise click.BadParameter(f"{known} is the workflow's own name; give it another.", param_hint="--attach")
    return f"{known}{source.fragment}", {known: source.file, **files}


def _tags(order: Order) -> dict[str, object]:
    tags: dict[str, object] = dict(named_values(order.tags, "--tag"))
    return {**tags, PROVIDER_TYPE_TAG: order.provider} if order.provider else tags


def destination(tags: Mapping[str, object], default: ProviderType) -> ProviderType | None:
    """The provider that the tags name; None for one that does not exist."""
    name = str(tags.get(PROVIDER_TYPE_TAG) or default).strip().lower()
    return ProviderType(name) if name in list(ProviderType) else None


def _parameters(order: Order, *, resolve: bool) -> Mapping[str, object]:
    named = file_parameters(order.params) if order.params else {}
    given = given_parameters(order.values)
    if not resolve:
        return {**named, **given}
    folder = at_home(order.params, "--params").parent if order.params and order.params != "-" else Path()
    return {**_absolute(named, folder), **_absolute(given, Path())}


def _absolute(values: Mapping[str, object], base: Path) -> dict[str, object]:
    return {name: with_absolute_files(value, base) for name, value in values.items()}
