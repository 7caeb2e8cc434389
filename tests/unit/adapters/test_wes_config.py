"""The settings of a WES server: addresses and credentials."""

import pytest

from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.application.ports.errors import Misconfigured


@pytest.mark.parametrize(
    ("endpoint", "base_url"),
    [
        ("https://wes.example.org", "https://wes.example.org/ga4gh/wes/v1"),
        ("https://wes.example.org/", "https://wes.example.org/ga4gh/wes/v1"),
        ("https://wes.example.org/ga4gh/wes/v1", "https://wes.example.org/ga4gh/wes/v1"),
        ("https://wes.example.org/ga4gh/wes/v1/", "https://wes.example.org/ga4gh/wes/v1"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/ga4gh/wes/v1"),
        ("HTTPS://wes.example.org/lab/wes", "https://wes.example.org/lab/wes"),
        (" https://wes.example.org ", "https://wes.example.org/ga4gh/wes/v1"),
    ],
)
def test_an_endpoint_is_given_with_or_without_the_path_of_the_api(endpoint: str, base_url: str) -> None:
    assert WesConfig(endpoint=endpoint).base_url == base_url


@pytest.mark.parametrize(
    ("endpoint", "advice"),
    [
        ("", "is empty"),
        ("wes.example.org", "begins with https"),
        ("ftp://wes.example.org", "begins with https"),
        ("https://", "begins with https"),
        ("https://wes.example.org:port", "valid host and port"),
        ("https://wes example.org", "blanks"),
        ("https://wes.example.org/ga4gh/wes/v1/service-info", "ends with /service-info"),
        ("https://wes.example.org/ga4gh/wes/v1/runs/", "ends with /runs"),
        ("https://wes.example.org?token=hidden-7", "a query or a fragment"),
        ("https://ada:hidden-7@wes.example.org", "WES_USER and WES_PASSWORD"),
    ],
)
def test_a_wrong_endpoint_is_refused_with_advice_and_without_what_it_contains(endpoint: str, advice: str) -> None:
    with pytest.raises(Misconfigured, match=advice) as refused:
        WesConfig(endpoint=endpoint)

    assert "hidden-7" not in str(refused.value)


@pytest.mark.parametrize(
    ("credential", "advice"),
    [
        ({"token": "hidden-7", "user": "ada"}, "WES_TOKEN and WES_USER"),
        ({"password": "hidden-7"}, "without WES_USER"),
        ({"token": "Bearer hidden-7"}, "without 'Bearer'"),
        ({"token": "hidden-7\n"}, "blanks"),
        ({"user": "ada:lovelace", "password": "hidden-7"}, "colon"),
    ],
)
def test_a_credential_that_cannot_be_sent_is_refused(credential: dict[str, str], advice: str) -> None:
    with pytest.raises(Misconfigured, match=advice) as refused:
        WesConfig(endpoint="https://wes.example.org", **credential)  # type: ignore[arg-type]  # texts only

    assert "hidden-7" not in str(refused.value)


def test_no_secret_is_shown() -> None:
    config = WesConfig(endpoint="https://wes.example.org", user="ada", password="hidden-7")

    assert "hidden-7" not in repr(config)
    assert "hidden-7" not in repr(WesConfig(endpoint="https://wes.example.org", token="hidden-7"))


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        ({}, None),
        ({"token": "t-7"}, "Bearer t-7"),
        ({"user": "ada", "password": "é"}, "Basic YWRhOsOp"),
        ({"user": "ada"}, "Basic YWRhOg=="),
    ],
)
def test_the_credential_is_sent_as_bearer_or_basic(credential: dict[str, str], header: str | None) -> None:
    config = WesConfig(endpoint="https://wes.example.org", **credential)  # type: ignore[arg-type]  # texts only

    assert config.authorization == header


@pytest.mark.parametrize(
    ("url", "is_same"),
    [
        ("https://wes.example.org/logs/1", True),
        ("https://WES.example.org:443/logs/1", True),
        ("http://wes.example.org/logs/1", False),
        ("https://wes.example.org:8443/logs/1", False),
        ("https://wes.example.org.evil.org/logs/1", False),
        ("https://wes.example.org@evil.org/logs/1", False),
        ("https://ada@wes.example.org/logs/1", False),
        ("https://[wes.example.org/logs/1", False),
        ("s3://wes.example.org/logs/1", False),
    ],
)
def test_the_credential_belongs_to_one_server(url: str, is_same: bool) -> None:
    assert WesConfig(endpoint="https://wes.example.org").is_same_server(url) is is_same
