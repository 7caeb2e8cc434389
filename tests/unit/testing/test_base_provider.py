"""The methods that providers without drafts and lists of ended runs have."""

from datetime import UTC, datetime

from wes_daemon.plugins import BaseProvider, EndedPage, OwnedPage, ProviderRunId

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_base_provider_has_no_former_runs_no_list_of_ended_runs_and_no_drafts() -> None:
    provider = BaseProvider()

    assert (provider.former_runs(None), provider.former_runs(NOON, after="1")) == (OwnedPage(), OwnedPage())
    assert provider.ended(NOON) == EndedPage()
    assert provider.delete_draft(ProviderRunId("1")) is False
