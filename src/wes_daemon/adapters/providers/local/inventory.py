"""What the work directory holds, in parts."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from heapq import nsmallest
from pathlib import Path

from wes_daemon.adapters.providers.local.durable import read_object
from wes_daemon.adapters.providers.local.naming import is_directory_name
from wes_daemon.adapters.providers.local.observation import observe
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.adapters.providers.local.states import report, unreadable
from wes_daemon.application.ports.providers import OwnedPage, OwnedRun, as_key
from wes_daemon.domain.runs import ProviderRunId, StatusReport

_PART = 500


def marked_runs(workdir: Path, since: datetime, after: str | None) -> OwnedPage:
    """As `WorkflowProvider.marked`: in the order of names, of which `after` is the last one told; changes nothing.

    Raises:
        OSError: the work directory cannot be read.
    """
    with os.scandir(workdir) as entries:
        behind = (entry.name for entry in entries if is_directory_name(entry.name) and entry.name > (after or ""))
        names = nsmallest(_PART + 1, behind)
    runs = [run for name in names[:_PART] if (run := _marked(RunDirectory(workdir / name), since))]
    return OwnedPage(runs=runs, following=names[_PART - 1] if len(names) > _PART else None)


def _marked(run: RunDirectory, since: datetime) -> OwnedRun | None:
    # A directory that somebody removes meanwhile, or that cannot be read, must not hide the others.
    with suppress(OSError):
        created_at = datetime.fromtimestamp(run.request.stat().st_mtime, UTC)
        key = as_key(str((read_object(run.request) or {}).get("key", "")))
        if key is None or created_at < since:
            return None
        told, is_draft = _told(run)
        return OwnedRun(
            id=ProviderRunId(run.path.name),
            key=key,
            created_at=created_at,
            state=told.state,
            provider_status=told.provider_status,
            is_draft=is_draft,
        )
    return None


def _told(run: RunDirectory) -> tuple[StatusReport, bool]:
    """What is known of a run, and whether it is one that no runner has taken yet."""
    try:
        marks = observe(run)
    except OSError as error:
        return unreadable(f"{run.path}: {error.strerror}"), False
    told = unreadable("its runner died") if marks.is_orphaned else report(marks)
    return told, not (marks.started or marks.cancelled or marks.result)
