"""These tests do I/O as little as other unit tests, but they are no measure of coverage."""

from collections.abc import Iterator

import pytest
from coverage import Coverage


@pytest.fixture(autouse=True)
def _unmeasured() -> Iterator[None]:
    """Stop measuring meanwhile: what is drawn at random reaches other lines each time, and takes twice as long."""
    measuring = Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    yield
    measuring.start()
