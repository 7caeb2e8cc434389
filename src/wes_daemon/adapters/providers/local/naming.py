"""What a run's directory is called: a name that every file system takes, made from a key that may be any text."""

import re
from hashlib import sha256

from wes_daemon.domain.runs import IdempotencyKey

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_OURS = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}(~[0-9a-f]{32})?")


def directory_name(key: IdempotencyKey) -> str:
    """The same name for the same key, another name for another key, also where case does not tell files apart."""
    if _PLAIN.fullmatch(key):
        return key
    # A plain key has no "~", so what is made up here can never be another key's own text.
    readable = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")[:40] or "run"
    return f"{readable}~{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def is_directory_name(text: str) -> bool:
    """Whether `text` could have come from `directory_name`; anything else must never become a path."""
    return _OURS.fullmatch(text) is not None
