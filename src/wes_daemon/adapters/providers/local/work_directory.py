"""The work directory, which holds the directories of all runs: names, creation, deletion of drafts, listing.

A draft is a prepared run that no runner has started.
"""

import os
import re
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path

from wes_daemon.adapters.providers.local.errors import translate_name_errors
from wes_daemon.adapters.providers.local.plan import Plan
from wes_daemon.adapters.providers.local.run_directory import (
    RunDirectory,
    as_json,
    read_object,
    sync_directory,
    write_new,
)
from wes_daemon.adapters.providers.local.status import read_snapshot, status_report, unreadable_report
from wes_daemon.application.ports.providers import OwnedPage, OwnedRun, Submission, as_key
from wes_daemon.domain.runs import Attachment, IdempotencyKey, ProviderRunId, StatusReport

_PLAIN_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_DIRECTORY_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}(~[0-9a-f]{32})?")
_UNPUBLISHED_PREFIX = ".preparing-"
_STALE_AFTER = timedelta(hours=24)
_MARKER_STALE_AFTER = timedelta(days=90)
_PAGE_SIZE = 500


def directory_name(key: IdempotencyKey) -> str:
    """Return the name of a run's directory: valid on every file system, and unique even where case is ignored."""
    if _PLAIN_KEY.fullmatch(key):
        return key
    # A plain key contains no "~", so this name cannot equal another key.
    readable = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")[:40] or "run"
    return f"{readable}~{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def is_directory_name(text: str) -> bool:
    """Whether `directory_name` can return `text`; other texts must not be used as a path."""
    return _DIRECTORY_NAME.fullmatch(text) is not None


def prepare_run(run: RunDirectory, submission: Submission, *, plan: Plan) -> None:
    """Create the run's directory atomically; a directory that another process created meanwhile stays.

    Raises:
        Rejected: the attachments cannot be written as files.
        OSError: the directory cannot be created; nothing remains of the attempt.
    """
    unpublished = RunDirectory(_unpublished_path(run))
    try:
        _write_files(unpublished, submission, plan=plan)
        run.active_marker.touch()
        _publish(unpublished, run)
    finally:
        shutil.rmtree(unpublished.path, ignore_errors=True)


def delete_draft(run: RunDirectory, now: datetime) -> bool:
    """Remove the directory of a draft; return false when the run is no draft."""
    # The process that creates `started.json` has reserved the run: no runner starts it after that.
    if run.is_cancelled or not run.record_start(now):
        return False
    unpublished = _unpublished_path(run)
    run.path.rename(unpublished)
    run.active_marker.unlink(missing_ok=True)
    shutil.rmtree(unpublished, ignore_errors=True)
    return True


def remove_stale_drafts(workdir: Path, now: datetime) -> None:
    """Remove incomplete directories of processes that died while they prepared or deleted a run."""
    for path in workdir.glob(f"{_UNPUBLISHED_PREFIX}*"):
        with suppress(FileNotFoundError):
            if now - datetime.fromtimestamp(path.stat().st_mtime, UTC) > _STALE_AFTER:
                shutil.rmtree(path, ignore_errors=True)


def remove_stale_markers(workdir: Path, now: datetime) -> None:
    """Remove the markers of runs whose directories were deleted long ago."""
    for marker in workdir.glob(".*.active"):
        name = marker.name.removeprefix(".").removesuffix(".active")
        with suppress(FileNotFoundError):
            is_stale = now - datetime.fromtimestamp(marker.stat().st_mtime, UTC) > _MARKER_STALE_AFTER
            if is_stale and not RunDirectory(workdir / name).exists:
                marker.unlink()


def list_owned_runs(workdir: Path, since: datetime, *, after: str | None) -> OwnedPage:
    """Return one page of runs, in the order of their directory names; changes nothing.

    Args:
        after: the last directory name of the previous page.

    Raises:
        OSError: the work directory cannot be read.
    """
    with os.scandir(workdir) as entries:
        remaining = (entry.name for entry in entries if is_directory_name(entry.name) and entry.name > (after or ""))
        names = nsmallest(_PAGE_SIZE + 1, remaining)
    runs = [run for name in names[:_PAGE_SIZE] if (run := _owned_run(RunDirectory(workdir / name), since))]
    return OwnedPage(runs=runs, following=names[_PAGE_SIZE - 1] if len(names) > _PAGE_SIZE else None)


def _unpublished_path(run: RunDirectory) -> Path:
    return run.path.with_name(f"{_UNPUBLISHED_PREFIX}{secrets.token_hex(8)}")


def _write_files(run: RunDirectory, submission: Submission, *, plan: Plan) -> None:
    run.path.mkdir()
    for folder in (run.attachments, run.outputs, run.steps, run.containers, run.temporary):
        folder.mkdir()
    run.runner_log.parent.mkdir()
    os.mkfifo(run.wakeup_pipe)
    write_new(run.lock, b"")
    _write_attachments(run, submission.attachments)
    write_new(run.attachments / plan.inputs_file, as_json(submission.request.params))
    write_new(run.request, as_json({"key": submission.key, **plan.as_object()}))


def _write_attachments(run: RunDirectory, attachments: Sequence[Attachment]) -> None:
    for attachment in attachments:
        path = run.attachments / attachment.name
        with translate_name_errors(attachment.name):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(path, attachment.content)
    for folder, _, _ in os.walk(run.attachments):
        sync_directory(Path(folder))


def _publish(unpublished: RunDirectory, run: RunDirectory) -> None:
    try:
        # A rename replaces an empty directory only, and a run's directory is never empty: of two concurrent
        # renames one fails.
        unpublished.path.rename(run.path)
    except OSError:
        if not run.exists:
            raise
    sync_directory(run.path.parent)


def _owned_run(run: RunDirectory, since: datetime) -> OwnedRun | None:
    # A directory that is removed meanwhile or cannot be read must not hide the others.
    with suppress(OSError):
        created_at = datetime.fromtimestamp(run.request.stat().st_mtime, UTC)
        key = as_key(str((read_object(run.request) or {}).get("key", "")))
        if key is None or created_at < since:
            return None
        status, is_draft = _status(run)
        return OwnedRun(
            id=ProviderRunId(run.path.name),
            key=key,
            created_at=created_at,
            state=status.state,
            provider_status=status.provider_status,
            is_draft=is_draft,
        )
    return None


def _status(run: RunDirectory) -> tuple[StatusReport, bool]:
    """Return the run's status without finalising it, and whether it is a draft."""
    try:
        snapshot = read_snapshot(run)
    except OSError as error:
        return unreadable_report(f"{run.path}: {error.strerror}"), False
    report = unreadable_report("its runner died") if snapshot.is_orphaned else status_report(snapshot)
    return report, snapshot.is_draft
