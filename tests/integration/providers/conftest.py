"""What all tests of providers share."""

from collections.abc import Iterator
from functools import lru_cache

import pytest
from botocore import loaders


@pytest.fixture(scope="session", autouse=True)
def _sdk_is_read_once() -> Iterator[None]:
    """Let all sessions of boto3 share what it reads of its own files: that is most of what a client costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders, "create_loader", lru_cache(loaders.create_loader))
        yield
