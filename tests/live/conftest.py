"""Accounts for the live tests: from the daemon's own variables, and a few that only these tests read."""

import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import boto3
import pytest

from tests.live.account import Account
from tests.live.cleaning import clean
from tests.live.healthomics import HealthOmicsAccount
from tests.live.session import LiveSession
from tests.live.sevenbridges import SevenBridgesAccount
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.plugin import HealthOmicsSettings
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.plugin import SevenBridgesSettings
from wes_daemon.adapters.system import sleep
from wes_daemon.bootstrap.setting_problems import ConfigurationError
from wes_daemon.bootstrap.settings import Settings, read_settings
from wes_daemon.domain.runs import ProviderType

SEVENBRIDGES_APP = "LIVE_SEVENBRIDGES_APP"
HEALTHOMICS_WORKFLOW = "LIVE_HEALTHOMICS_WORKFLOW"
_SESSION = pytest.StashKey[LiveSession]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only who names the mark `live` runs live tests: another `-m` must cost nobody money either."""
    if "live" in re.findall(r"\w+", config.option.markexpr):
        return
    live = [item for item in items if item.get_closest_marker("live")]
    if live:
        config.hook.pytest_deselected(items=live)
        items[:] = [item for item in items if not item.get_closest_marker("live")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What it was about, in the service's own lists."""
    if session := config.stash.get(_SESSION, None):
        budget = session.budget
        terminalreporter.write_line(f"live: {budget.spent} starts of at most {budget.at_most}, named {session.mark}*")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """No secret in a traceback: pytest shows the arguments of functions, and those of SDKs hold tokens and headers."""
    report = yield
    if report.failed:
        shown = str(report.longrepr)
        # As a text it loses its colours, and its line in the summary.
        report.longrepr = report.longrepr if (safe := _without_secrets(shown)) == shown else safe
        report.sections = [(name, _without_secrets(text)) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The daemon's settings, from the environment or `.env`."""
    return read_settings()


@pytest.fixture(scope="session")
def live_session(pytestconfig: pytest.Config) -> LiveSession:
    """Made when the first test finds credentials."""
    session = LiveSession()
    pytestconfig.stash[_SESSION] = session
    return session


@pytest.fixture(scope="session")
def sevenbridges(settings: Settings, request: pytest.FixtureRequest) -> Iterator[SevenBridgesAccount]:
    """The project, and nothing of ours that runs there when the session has ended."""
    given = cast(SevenBridgesSettings, settings.providers[ProviderType.SEVENBRIDGES].settings)
    credentials, project = given.credentials, given.project
    app = os.environ.get(SEVENBRIDGES_APP, "")
    token = "SEVENBRIDGES_API_TOKEN (or SEVENBRIDGES_API_TOKEN_FILE, SEVENBRIDGES_PROFILE)"
    _skip_without({token: credentials, "SEVENBRIDGES_PROJECT": project, SEVENBRIDGES_APP: app})
    assert credentials is not None
    assert project is not None
    config = SevenBridgesConfig(endpoint=credentials.endpoint, token=credentials.token, project=project)
    session: LiveSession = request.getfixturevalue("live_session")
    account = SevenBridgesAccount(config, session, app=app, rate_limit=given.rate_limit)
    with _visiting(account, session):
        yield account


@pytest.fixture(scope="session")
def healthomics(settings: Settings, request: pytest.FixtureRequest) -> Iterator[HealthOmicsAccount]:
    """The account, and nothing of ours that runs there when the session has ended."""
    given = cast(HealthOmicsSettings, settings.providers[ProviderType.HEALTHOMICS].settings)
    role, output = given.workflow_role_arn, given.output_uri
    workflow = os.environ.get(HEALTHOMICS_WORKFLOW, "")
    asked = {
        "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN": role,
        "AWS_HEALTHOMICS_OUTPUT_URI": output,
        HEALTHOMICS_WORKFLOW: workflow,
    }
    secrets = (given.access_key_id, given.secret_access_key, given.session_token)
    keys = [key.get_secret_value() if key else None for key in secrets]
    # The chain ends at a metadata service, which is only asked where everything else is there.
    has_keys = keys[0] or (boto3.Session().get_credentials() if all(asked.values()) else _names_credentials())
    _skip_without({"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE)": has_keys, **asked})
    config = HealthOmicsConfig(
        region=given.region_of_runs,
        role_arn=role,
        output_uri=output,
        access_key_id=keys[0],
        secret_access_key=keys[1],
        session_token=keys[2],
    )
    session: LiveSession = request.getfixturevalue("live_session")
    rates = given.rate_limits
    account = HealthOmicsAccount(config, session, workflow=workflow, rates=rates)
    with _visiting(account, session):
        yield account


def _without_secrets(text: str) -> str:
    try:
        secrets = read_settings().secrets
    except ConfigurationError:
        return text
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return text


def _names_credentials() -> bool:
    return any(name in os.environ for name in ("AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"))


def _skip_without(asked: Mapping[str, object]) -> None:
    if missing := [name for name, value in asked.items() if not value]:
        pytest.skip(f"not set: {', '.join(missing)}; see docs/live-tests.md")


@contextmanager
def _visiting(account: Account, session: LiveSession) -> Iterator[None]:
    """Ask once before anything is started: wrong credentials should fail at once, not test by test.

    Look once more at the end, when the lists have caught up: a test's own clean-up may have been too early for one.
    """
    try:
        assert not list(account.unfinished()), "a session's mark is its own"
        yield
        if session.budget.spent:
            sleep(session.settling)
        clean(account, between_looks=session.between_looks)
    finally:
        account.close()
