"""What is secret in a database's URI, told as the engine reads it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from wes_daemon.adapters.persistence.address import read_address

_PIECES = [*"/:@?#&=+[] ", "://", "%40", "password", "pass%77ord", "Geheim", "u", "host", "5432"]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://u:Geheim@host:5432/db?sslmode=require", "postgresql://u:***@host:5432/db?sslmode=require"),
        ("postgresql://u:Geheim#ss@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:Geheim/ss@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:Geheim?ss@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:Geheim:ss@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:Geheim%40ss@[::1]/db", "postgresql://u:***@[::1]/db"),
        ("postgresql+psycopg2://:Geheim@host/db", "postgresql+psycopg2://:***@host/db"),
        ("postgresql://host/db?user=u&password=Geheim#ss", "postgresql://host/db?***"),
        ("postgresql://host/db?user=u&pass%77ord=Geheim", "postgresql://host/db?***"),
        ("postgresql://host/db?sslpassword=Geheim", "postgresql://host/db?***"),
        ("postgresql://u@host/db", "postgresql://u@host/db"),
        ("postgresql:///db", "postgresql:///db"),
        ("sqlite:////data/runs.db", "sqlite:////data/runs.db"),
        ("sqlite:////data/a@b:c@d.db", "sqlite:////data/a@b:c@d.db"),
        ("postgresql://u:Geheim@h1:5432,[::1]:5433/db", "postgresql://u:***@h1:5432,[::1]:5433/db"),
        ("postgresql://u:Geheim@%2Fvar%2Frun/db", "postgresql://u:***@%2Fvar%2Frun/db"),
        # In doubt the scheme alone.
        ("postgresql://u:Geheim@ss/word@host/db", "postgresql://***"),
        ("postgresql://u:Geheim/db", "postgresql://***"),
        ("postgresql://u:Geheim@ss@host/db", "postgresql://***"),
        ("postgresql://u:Geheim@host/db?options=a@b", "postgresql://***"),
        ("postgresql://u/x:Geheim@host/db", "postgresql://***"),
        ("postgresql://host?password=Geheim@x", "postgresql://***"),
        ("Geheim", "***"),
        ("", "***"),
    ],
)
def test_people_see_everything_but_the_password(uri: str, shown: str) -> None:
    assert read_address(uri).shown == shown


@pytest.mark.parametrize(
    ("uri", "secrets"),
    [
        ("postgresql://u:Geheim#ss@host/db", {"Geheim#ss"}),
        ("postgresql://u:Geheim/ss@host/db", {"Geheim/ss"}),
        ("postgresql://u:Geheim?ss@host/db", {"Geheim?ss"}),
        ("postgresql://u:Geheim@ss@host/db", {"Geheim@ss", "Geheim"}),
        ("postgresql://u:Geheim%40ss@host/db", {"Geheim%40ss", "Geheim@ss"}),
        ("postgresql://host/db?password=Geheim+ss#1&user=u", {"Geheim+ss#1", "Geheim ss#1"}),
        ("postgresql://host/db?pass%77ord=Geheim", {"Geheim"}),
        ("postgresql://u:one@host/db?sslpassword=two", {"one", "two"}),
        ("postgresql://u/x:Geheim@host/db", {"Geheim"}),
        ("sqlite:////data/12:30@x.db", set()),
        ("postgresql://u@host/db", set()),
        ("Geheim", {"Geheim"}),
        # The password of many trials. Each message names the user and the database.
        ("postgresql://daemon:daemon@host/runs", set()),
        ("postgresql://u:daemon@host/daemon?sslmode=require", set()),
    ],
)
def test_every_form_of_the_password_is_a_secret(uri: str, secrets: set[str]) -> None:
    assert read_address(uri).secrets == secrets


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map(lambda pieces: f"postgresql://{''.join(pieces)}"))
@example("postgresql://u:Geheim@host/db?x=a:b@c")
def test_what_the_engine_takes_for_a_password_is_a_secret_and_is_not_shown(uri: str) -> None:
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return

    address = read_address(uri)

    # A password that is the name of the user or of the database is no secret. SQLAlchemy's type is narrower than what
    # its parser leaves there.
    public = {"", str(url.username or ""), str(url.database or "")}
    for password in {str(url.password or ""), *map(str, _values(url.query.get("password")))} - public:
        assert password in address.secrets
    # A user name is shown, also if it is the same word as the password.
    if "Geheim" in str(url.password or "") and "Geheim" not in str(url.username or ""):
        assert "Geheim" not in address.shown.partition("@")[0]


def _values(found: object) -> list[object]:
    if found is None:
        return []
    return list(found) if isinstance(found, tuple) else [found]
