"""Tokens that are replaced while the daemon runs (A4)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import PROJECT, SevenBridgesHarness
from wes_daemon.adapters.providers.sevenbridges.client import SevenBridgesClient
from wes_daemon.adapters.providers.sevenbridges.errors import Failure
from wes_daemon.adapters.providers.sevenbridges.provider import SevenBridgesProvider
from wes_daemon.adapters.providers.sevenbridges.sdk import Sdk
from wes_daemon.application.ports.call_gate import OpenCallGate
from wes_daemon.application.ports.errors import Misconfigured
from wes_daemon.application.ports.providers import Prepared
from wes_daemon.bootstrap.container import Container
from wes_daemon.bootstrap.settings import read_settings
from wes_daemon.domain.runs import ProviderType

__all__ = ["authority", "harness", "trusted"]

OLD, NEW = "old-not-a-token", "new-not-a-token"


def provider_reading(harness: SevenBridgesHarness, read_token: Callable[[], str]) -> SevenBridgesProvider:
    provider = SevenBridgesProvider(replace(harness.config, token=OLD, read_token=read_token), clock=harness.clock)
    harness._providers.append(provider)
    return provider


def revoke(harness: SevenBridgesHarness) -> None:
    """Replace the old token by the new one at the platform."""
    harness.platform.tokens.pop(OLD, None)
    harness.platform.add_token(NEW, PROJECT)


class TestReloading:
    def test_the_call_whose_token_is_refused_is_misconfigured_and_the_next_one_uses_the_new_token(
        self, harness: SevenBridgesHarness
    ) -> None:
        revoke(harness)
        provider, submission = provider_reading(harness, lambda: NEW), harness.of()

        with pytest.raises(Misconfigured, match="the next call uses the new one"):
            provider.submit(submission)
        answer = provider.submit(submission)

        assert isinstance(answer, Prepared)
        assert [call.token for call in harness.platform.calls][:2] == [OLD, NEW]

    def test_a_start_that_is_refused_is_not_repeated_and_leaves_no_doubt(self, harness: SevenBridgesHarness) -> None:
        harness.platform.add_token(OLD, PROJECT)
        provider, submission = provider_reading(harness, lambda: NEW), harness.of()
        prepared = provider.submit(submission)
        revoke(harness)

        with pytest.raises(Misconfigured):
            provider.submit(replace(submission, prepared_id=prepared.id))
        provider.submit(replace(submission, prepared_id=prepared.id))

        assert len(harness.platform.started) == 1

    def test_a_token_that_is_the_same_is_said_to_be_and_is_read_again_at_the_next_refusal(
        self, harness: SevenBridgesHarness
    ) -> None:
        tokens = iter([OLD, OLD, NEW])
        revoke(harness)
        provider = provider_reading(harness, lambda: next(tokens))

        for words in ("is the same", "is the same", "has changed"):
            with pytest.raises(Misconfigured, match=words):
                provider.submit(harness.of())

        assert isinstance(provider.submit(harness.of()), Prepared)

    @pytest.mark.parametrize("token", ["", "two words"])
    def test_a_malformed_token_is_not_used_and_not_quoted(self, harness: SevenBridgesHarness, token: str) -> None:
        provider = provider_reading(harness, lambda: token)

        with pytest.raises(Misconfigured, match="could not be read again: the Seven Bridges token is empty") as refusal:
            provider.submit(harness.of())

        assert not token or token not in str(refusal.value)

    def test_neither_token_is_in_the_message(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(Misconfigured) as refusal:
            provider_reading(harness, lambda: NEW).submit(harness.of())

        assert OLD not in str(refusal.value)
        assert NEW not in str(refusal.value)

    def test_a_token_that_cannot_change_is_not_read_again(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(Misconfigured, match="SEVENBRIDGES_API_TOKEN") as refusal:
            harness.provider(token=OLD).submit(harness.of())

        assert "read again" not in str(refusal.value)

    def test_threads_that_are_refused_together_read_the_token_once(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each thread is in its call, with the old token, before the first one is refused."""
        reads: list[str] = []
        together, real = threading.Barrier(8), Sdk.request

        def request(sdk: Sdk, *args: object, **kwargs: object) -> object:
            together.wait()
            return real(sdk, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(Sdk, "request", request)

        def read_token() -> str:
            reads.append(NEW)
            return NEW

        config = replace(harness.config, token=OLD, read_token=read_token)
        client = SevenBridgesClient(config, clock=harness.clock, gate=OpenCallGate())

        def call(_: int) -> None:
            with suppress(Failure):
                client.get("GetApp", "/apps/lab/genomes/align")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(call, range(8)))
        client.close()

        assert reads == [NEW]


class TestSettings:
    """The token's file and the profile are read again, as the table of settings says."""

    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("DATABASE_URI", f"sqlite:///{tmp_path}/runs.db")
        monkeypatch.setenv("SEVENBRIDGES_PROJECT", PROJECT)
        monkeypatch.setenv("SEVENBRIDGES_RATE_LIMIT", "off")
        monkeypatch.delenv("SEVENBRIDGES_API_TOKEN", raising=False)
        (tmp_path / ".sevenbridges").mkdir()
        return tmp_path

    def built(self) -> SevenBridgesProvider:
        """The provider of a daemon with these settings, without its lease."""
        provider: Any = Container(settings=read_settings()).directory().provider(ProviderType.SEVENBRIDGES)
        while not isinstance(provider, SevenBridgesProvider):
            provider = provider._inner
        provider._client._gate = OpenCallGate()
        return provider

    def test_the_file_of_the_token_is_read_again(
        self, harness: SevenBridgesHarness, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = home / "token"
        file.write_text(f"{OLD}\n")
        monkeypatch.setenv("SEVENBRIDGES_API_TOKEN_FILE", str(file))
        monkeypatch.setenv("SEVENBRIDGES_API_ENDPOINT", harness.config.endpoint)
        provider = self.built()
        revoke(harness)
        file.write_text(f"{NEW}\n")

        with pytest.raises(Misconfigured):
            provider.submit(harness.of())
        assert isinstance(provider.submit(harness.of()), Prepared)

        provider.close()

    def test_a_file_that_is_gone_is_named(
        self, harness: SevenBridgesHarness, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = home / "token"
        file.write_text(OLD)
        monkeypatch.setenv("SEVENBRIDGES_API_TOKEN_FILE", str(file))
        monkeypatch.setenv("SEVENBRIDGES_API_ENDPOINT", harness.config.endpoint)
        provider = self.built()
        file.unlink()

        with pytest.raises(Misconfigured, match="SEVENBRIDGES_API_TOKEN_FILE: the file cannot be read"):
            provider.submit(harness.of())

        provider.close()

    @pytest.mark.parametrize("moves", [False, True])
    def test_the_profile_is_read_again_for_the_same_endpoint(
        self, harness: SevenBridgesHarness, home: Path, monkeypatch: pytest.MonkeyPatch, moves: bool
    ) -> None:
        file, endpoint = home / ".sevenbridges/credentials", harness.config.endpoint
        file.write_text(f"[cgc]\napi_endpoint = {endpoint}\nauth_token = {OLD}\n")
        monkeypatch.setenv("SEVENBRIDGES_PROFILE", "cgc")
        provider = self.built()
        revoke(harness)
        file.write_text(
            f"[cgc]\napi_endpoint = {'https://elsewhere.invalid/v2' if moves else endpoint}\nauth_token = {NEW}\n"
        )

        with pytest.raises(Misconfigured, match="restart the daemon" if moves else "uses the new one"):
            provider.submit(harness.of())
        if not moves:
            assert isinstance(provider.submit(harness.of()), Prepared)

        assert moves is (NEW not in {call.token for call in harness.platform.calls})
        provider.close()
