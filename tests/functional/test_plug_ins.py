"""Plug-ins that raise what they must not raise: the program goes on without them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from tests.builders import a_request
from tests.functional.conftest import Call
from wes_daemon import build_application, read_settings
from wes_daemon.bootstrap import plug_ins
from wes_daemon.bootstrap.container import Container
from wes_daemon.bootstrap.plug_ins import InstalledPlugin, installed_plugins
from wes_daemon.bootstrap.providers import published_providers
from wes_daemon.bootstrap.request_checks import RequestChecks
from wes_daemon.plugins import (
    Configured,
    Examination,
    HintSource,
    Misconfigured,
    ProviderPlugin,
    ProviderSettings,
    ProviderTools,
    ProviderTraits,
    ProviderType,
    Submission,
)

RAISING = ProviderType("raising")
SECRET = "hunter2-and-more"


class RaisingPlugin(ProviderPlugin[ProviderSettings]):
    contract = 1
    name = RAISING
    traits = ProviderTraits(title="a plug-in that raises")
    settings = ProviderSettings
    error: Exception = RuntimeError(SECRET)

    def is_configured(self, settings: ProviderSettings) -> Configured:
        return Configured(target="nowhere")

    def build(self, settings: ProviderSettings, tools: ProviderTools) -> NoReturn:
        raise self.error

    def hints(self, settings: ProviderSettings, tools: ProviderTools) -> HintSource | None:
        raise self.error

    def check_request(self, settings: ProviderSettings, submission: Submission) -> None:
        raise self.error

    def takes_workflow(self, settings: ProviderSettings, submission: Submission) -> bool:
        raise self.error

    def examine(self, settings: ProviderSettings, tools: ProviderTools) -> Iterable[Examination]:
        raise self.error


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Iterator[InstalledPlugin]:
    """The plug-in, as if a distribution had brought it."""
    installed = InstalledPlugin(kind=RAISING, distribution="acme", version="1.0", plugin=RaisingPlugin())
    with_it = {**installed_plugins(), RAISING: installed}
    monkeypatch.setattr("wes_daemon.bootstrap.provider_settings.installed_plugins", lambda: with_it)
    return iter([installed])


@pytest.mark.usefixtures("raising")
@pytest.mark.parametrize("error", [RuntimeError("a bug"), Misconfigured("no queue")])
def test_hints_that_cannot_be_made_leave_the_daemon_at_work(
    uri: str, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(RaisingPlugin, "error", error)

    application = build_application(read_settings(database_uri=uri))

    assert application.daemon() is not None
    assert str(error) in caplog.text
    application.close()


@pytest.mark.usefixtures("raising", "set_up")
def test_a_check_that_raises_is_reported_and_the_others_are_made(call: Call) -> None:
    result = call("providers", "--check")

    assert result.exit_code == 3
    assert f"the plug-in: a bug: RuntimeError: {SECRET}" in result.stdout
    assert "the local provider answers a request for runs: ok" in result.stdout


@pytest.mark.usefixtures("raising", "clean")
def test_rules_that_raise_let_a_request_pass_and_take_no_workflow() -> None:
    checks = RequestChecks(read_settings())

    checks.check(a_request(), tags={}, attachments=(), provider=RAISING)

    assert RAISING not in checks.takers(a_request(), ())


@pytest.mark.usefixtures("clean")
def test_a_plug_in_that_ends_the_program_disables_itself() -> None:
    class Ending:
        value = "acme:Plugin"

        def load(self) -> NoReturn:
            raise SystemExit("no licence")

    plugin, problem = plug_ins._load(Ending(), RAISING)  # type: ignore[arg-type]

    assert plugin is None
    assert problem == "is disabled: it cannot be imported: SystemExit: no licence"


def test_what_other_daemons_read_of_a_broken_plug_in_holds_no_message(clean: Path) -> None:
    settings = read_settings(database_uri=f"sqlite:///{clean}/runs.db")
    broken = InstalledPlugin(kind=RAISING, distribution="acme", version="1.0", problem=f"cannot log in with {SECRET}")
    [some, *_] = settings.providers.values()
    settings._providers = {RAISING: replace(some, name=RAISING, installed=broken, state=None)}

    published = published_providers(settings)

    assert "is broken on" in published[RAISING]
    assert SECRET not in str(published)


@pytest.mark.usefixtures("set_up")
def test_a_name_of_earlier_runs_can_be_listed(call: Call, uri: str) -> None:
    container = Container(settings=read_settings(database_uri=uri))
    container.schema().upgrade()
    container.create_run()(a_request(), tags={"provider_type": "gone"})
    published = {ProviderType("gone"): ""}
    session = container.daemon_session()
    session._providers = published
    _ = session.id
    session.close()
    container.engine().dispose()

    found, misspelt = call("list", "--provider", "gone"), call("list", "--provider", "gon")

    assert (found.exit_code, misspelt.exit_code) == (0, 2)
    assert "gone" in found.stdout
