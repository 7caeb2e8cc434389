"""Files that are whole or absent, and stay so when the machine stops."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def write_new(path: Path, content: bytes) -> None:
    """Create `path`; raises `FileExistsError` when somebody was first."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step; of two who do so at once, one wins whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    write_new(draft, content)
    draft.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the entries of a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_object(path: Path) -> Mapping[str, object] | None:
    """The JSON object at `path`; empty when it cannot be read as one, `None` when there is no file."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def as_json(value: Mapping[str, object]) -> bytes:
    """How we write an object."""
    return json.dumps(value, indent=1, sort_keys=True).encode()
