"""The vendor's credentials file."""

from pathlib import Path

import pytest

from wes_daemon.adapters.providers.sevenbridges.config import Profile, read_profile
from wes_daemon.application.ports.errors import Misconfigured

ENDPOINT = "https://cgc-api.sbgenomics.com/v2"
GOOD = f"[default]\napi_endpoint = {ENDPOINT}\nauth_token   = not%a-token \n\n[half]\napi_endpoint = {ENDPOINT}\n"


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text(GOOD)
    return path


def test_a_profile_is_a_platform_and_a_token(credentials: Path) -> None:
    assert read_profile("default", credentials) == Profile(endpoint=ENDPOINT, token="not%a-token")


def test_the_token_is_not_shown(credentials: Path) -> None:
    assert "not%a-token" not in repr(read_profile("default", credentials))


@pytest.mark.parametrize(("name", "why"), [("other", r"no profile \[other\]"), ("half", "lacks auth_token")])
def test_what_is_missing_is_named(credentials: Path, name: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        read_profile(name, credentials)


@pytest.mark.parametrize("content", [b"auth_token = not-a-token", b"[default]\nnot-a-token", b"\xff\xfe"])
def test_a_file_that_is_something_else_is_not_quoted(credentials: Path, content: bytes) -> None:
    credentials.write_bytes(content)

    with pytest.raises(Misconfigured) as refusal:
        read_profile("default", credentials)

    assert "not-a-token" not in str(refusal.value)


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nowhere"):
        read_profile("default", tmp_path / "nowhere")
