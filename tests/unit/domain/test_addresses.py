"""What people may see of a workflow's address."""

import pytest

from tests.builders import a_request
from wes_daemon.domain.addresses import public_url, without_secrets_of
from wes_daemon.domain.errors import InvalidRequest

SECRET = "Geheim"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a/b.cwl",
        "https://example.org:8080/a.cwl#main",
        "https://cdn.example.org/gh/owner/repo@v1.2/a.cwl#main/align",
        "file:///data/a%20b.cwl#main",
        "main.cwl#main",
        "tools/echo.cwl",
        "owner/project/app/7",
        "sbg://owner/project/app",
        "s3://bucket/key.cwl",
        "omics:1234567",
        "arn:aws:omics:eu-west-1:123456789012:workflow/1234567",
        "http://[::1]:8080/a.cwl",
        "",
    ],
)
def test_an_address_without_secrets_is_shown_as_it_is(url: str) -> None:
    assert public_url(url) == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://u:{SECRET}@host/a.cwl", "https://***@host/a.cwl"),
        (f"https://{SECRET}@host/a.cwl", "https://***@host/a.cwl"),
        (f"https://u:a@{SECRET}@host/a.cwl", "https://***@host/a.cwl"),
        (f"//u:{SECRET}@host/a.cwl", "//***@host/a.cwl"),
        (f"https://host/a.cwl?X-Amz-Signature={SECRET}&x=1#main", "https://host/a.cwl?X-Amz-Signature=***&x=***#main"),
        (f"https://host/a.cwl?{SECRET}", "https://host/a.cwl?***"),
        (f"main.cwl?token={SECRET}", "main.cwl?token=***"),
        (f"https://host/a.cwl#access_token={SECRET}", "https://host/a.cwl#access_token=***"),
        # Not percent-encoded: where the password ends cannot be told.
        (f"https://u:{SECRET}#x@host/a.cwl", "https://***"),
        (f"https://u:{SECRET}/x@host/a.cwl", "https://***"),
        (f"https://u:1?{SECRET}@host/a.cwl", "https://***"),
        (f"https://u/x:{SECRET}@host/a.cwl", "https://***"),
        (f"u:{SECRET}@host/a.cwl", "***"),
        (f" https://u:{SECRET}@host/a.cwl", "***"),
        (f"https:u:{SECRET}@host/a.cwl", "***"),
        (f"https:\\\\u:{SECRET}@host/a.cwl", "***"),
        (f"https://u:x\n{SECRET}@host/a.cwl", "https://***@host/a.cwl"),
    ],
)
def test_what_may_be_a_secret_is_hidden(url: str, shown: str) -> None:
    assert public_url(url) == shown


def test_a_text_may_name_an_address_in_parts() -> None:
    url = f"https://u:{SECRET}@host/a.cwl?sig={SECRET}#main"

    text = without_secrets_of(url, f"no {url}: GET /a.cwl?sig={SECRET} at u:{SECRET}@host")

    assert text == "no https://***@host/a.cwl?sig=***#main: GET /a.cwl?*** at ***@host"


def test_a_text_about_an_address_without_secrets_stays_as_it_is() -> None:
    assert without_secrets_of("./main.cwl", "./main.cwl: what? me@home") == "./main.cwl: what? me@home"


def test_a_refused_request_shows_no_secret_of_its_url() -> None:
    with pytest.raises(InvalidRequest, match=r"https://\*\*\*@host/a b\.cwl") as refused:
        a_request(workflow_url=f"https://u:{SECRET}@host/a b.cwl?sig={SECRET}").validate()

    assert SECRET not in str(refused.value)
