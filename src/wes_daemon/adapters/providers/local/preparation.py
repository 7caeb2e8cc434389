"""How a run comes into being on disk: all of it at once, or not at all."""

import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from wes_daemon.adapters.providers.local.durable import as_json, sync_directory, write_new
from wes_daemon.adapters.providers.local.errors import translated_name
from wes_daemon.adapters.providers.local.plan import Plan
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import Attachment

_DRAFT = ".preparing-"
_STALE = timedelta(hours=24)


def prepare(run: RunDirectory, plan: Plan, submission: Submission) -> None:
    """Make the run's directory; when somebody else made it meanwhile, theirs stays.

    Raises:
        Rejected: the attachments cannot be written as files.
        OSError: the directory cannot be made; nothing is left of the attempt.
    """
    draft = RunDirectory(run.path.with_name(f"{_DRAFT}{secrets.token_hex(8)}"))
    try:
        _fill(draft, plan, submission)
        _publish(draft, run)
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)


def discard(run: RunDirectory, now: datetime) -> bool:
    """Remove a run that no runner has taken; whether there was one."""
    # Whoever makes this mark has the run: no runner will take it from here on.
    if run.is_cancelled or not run.mark_started(now):
        return False
    discarded = run.path.with_name(f"{_DRAFT}{secrets.token_hex(8)}")
    run.path.rename(discarded)
    shutil.rmtree(discarded, ignore_errors=True)
    return True


def remove_stale_drafts(workdir: Path, now: datetime) -> None:
    """Remove what processes that died while preparing have left."""
    for draft in workdir.glob(f"{_DRAFT}*"):
        with suppress(FileNotFoundError):
            if now - datetime.fromtimestamp(draft.stat().st_mtime, UTC) > _STALE:
                shutil.rmtree(draft, ignore_errors=True)


def _fill(draft: RunDirectory, plan: Plan, submission: Submission) -> None:
    draft.path.mkdir()
    for folder in (draft.attachments, draft.outputs, draft.steps, draft.containers, draft.temporary):
        folder.mkdir()
    draft.runner_log.parent.mkdir()
    os.mkfifo(draft.bell)
    write_new(draft.lock, b"")
    _attach(draft, submission.attachments)
    write_new(draft.attachments / plan.inputs_file, as_json(submission.request.params))
    write_new(draft.request, as_json({"key": submission.key, **plan.as_object()}))


def _attach(draft: RunDirectory, attachments: Sequence[Attachment]) -> None:
    for attachment in attachments:
        path = draft.attachments / attachment.name
        with translated_name(attachment.name):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(path, attachment.content)
    for folder, _, _ in os.walk(draft.attachments):
        sync_directory(Path(folder))


def _publish(draft: RunDirectory, run: RunDirectory) -> None:
    try:
        # A directory replaces only an empty one, and ours never is: of two who prepare at once, one wins.
        draft.path.rename(run.path)
    except OSError:
        if not run.exists:
            raise
    sync_directory(run.path.parent)
