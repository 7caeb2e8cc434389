"""Logs events: the event first, then keys with values, always in one line."""

import json
import logging
import re
from datetime import timedelta

_PLAIN = re.compile(r"[\w.:/@+\-]+", re.ASCII)


def log_event(logger: logging.Logger, level: int, event: str, /, **values: object) -> None:
    """Log `event key=value …`; a value with characters other than letters, digits and `.:/@+-_` is quoted as JSON."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", " ".join([event, *(f"{key}={_rendered(value)}" for key, value in values.items())]))


def _rendered(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
