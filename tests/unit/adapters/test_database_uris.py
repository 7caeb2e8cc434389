"""Which URIs of a database are understood, and what the others are told; nothing connects."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wes_daemon.adapters.persistence.engine import database_url
from wes_daemon.adapters.persistence.errors import describe_database
from wes_daemon.adapters.persistence.sqlite_uri import connection_url
from wes_daemon.application.ports.errors import StorageMisconfigured

_PIECES = [*"/:@?#&=,%[] ", "%40", "%2F", "geheim", "host", "h1,h2", "5432", "sslmode=require", "password=geheim"]


def connects_to(uri: str) -> dict[str, object]:
    """What the driver is told."""
    url = database_url(uri)
    _, options = url.get_dialect()().create_connect_args(url)
    return dict(options)


@pytest.mark.parametrize(
    ("uri", "host", "port"),
    [
        ("postgresql://u@h1:5432,h2:5433/db?target_session_attrs=read-write", "h1,h2", "5432,5433"),
        ("postgresql://u@h1,h2/db?port=5432,5433", "h1,h2", "5432,5433"),
        ("postgresql://u@h1,h2/db?port=5433", "h1,h2", "5433,5433"),
        ("postgresql://u@h1,h2:5433/db", "h1,h2", ",5433"),
        ("postgresql://u@h1,h2/db", "h1,h2", ","),
        ("postgresql://u@[::1]:5432,[fe80::2]/db", "::1,fe80::2", "5432,"),
        ("postgresql:///db?host=h1,h2&port=5433", "h1,h2", "5433,5433"),
        ("postgresql:///db?host=h1:5432&host=h2:5433", "h1,h2", "5432,5433"),
        ("postgresql://u@%2Fvar%2Frun%2Fpostgresql/db", "/var/run/postgresql", None),
        ("postgresql://u@%2Fvar%2Frun%2Fpostgresql:5433/db", "/var/run/postgresql", "5433"),
        ("postgresql://u@h1:5432/db", "h1", 5432),
        ("  postgresql://u@h1/db \n", "h1", None),
    ],
)
def test_all_forms_of_libpq_lead_to_the_hosts_that_they_name(uri: str, host: str, port: object) -> None:
    options = connects_to(uri)

    assert options["host"] == host
    assert options.get("port") == port
    assert options["dbname"] == "db"


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:p%40ss@h1:5432,h2/db",
        "postgresql://u:p%2Fss@[::1],[::2]:5433/db",
        "postgresql://u@%2Fvar%2Frun%2Fpostgresql:5433/db",
        "postgresql://u@h1,h2/db?port=5433&sslmode=require",
    ],
)
def test_a_url_that_was_read_is_read_again_as_the_same(uri: str) -> None:
    url = database_url(uri)

    assert database_url(url.render_as_string(hide_password=False)) == url


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("pgbouncer=true", "the option pgbouncer.*leave it out"),
        ("schema=wes", r"the option schema.*write options=-csearch_path%3DNAME"),
        ("currentSchema=wes", r"write options=-csearch_path%3DNAME"),
        ("ssl=true", "the option ssl.*write sslmode=require"),
        ("sslmode=required", "sslmode.*write sslmode=require"),
        ("sslmode=nonsense", "use one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("connection_limit=5", "leave it out"),
        ("connectTimeout=5", "write connect_timeout=SECONDS"),
        ("connect_timeout=soon", "not a number"),
        ("target_session_attrs=master", "use one of any, read-write"),
        ("sslrootcert=/no/such/file", "is not a file"),
        ("pasword=geheim", "the option pasword"),
        ("application_name=a&application_name=b", "more than once"),
        ("pgbouncer=true&sslmode=required", "pgbouncer.*; .*sslmode=require"),
        ("dsn=host%3Dx", "the option dsn"),
        ("port=1,2", "cannot be read|hosts"),
    ],
)
def test_an_option_of_another_program_is_told_what_to_write_instead(query: str, says: str) -> None:
    with pytest.raises(StorageMisconfigured, match=says) as told:
        database_url(f"postgresql://u:geheim@host/db?{query}")

    assert "geheim" not in str(told.value)
    assert "\n" not in str(told.value)


def test_an_option_that_libpq_knows_is_passed_on() -> None:
    options = connects_to("postgresql://u@h/db?sslmode=verify-full&sslrootcert=system&options=-csearch_path%3Dwes")

    assert options["sslmode"] == "verify-full"
    assert options["options"] == "-csearch_path=wes"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("postgresql://u@h1,h2,h3/db?port=1,2", "3 hosts, but 2 ports"),
        ("postgresql://u:geheim@h1:geheim,h2/db", "cannot be read"),
        ("postgresql://u:geheim/db", "cannot be read"),
        ("postgresql://u:ge@heim@host/db", "percent-encode"),
        ("postgresql://u:x@heim/geheim@host/db", "percent-encode"),
        ("postgresql://u:x@heim/geheim?y@host/db", "percent-encode"),
        ("postgresql://u:x@heim?geheim@host/db", "percent-encode"),
        ("postgresql://u:x@heim?y=geheim@host/db", "percent-encode"),
        ("postgresql://host:5432/db?user=u&password=x@geheim", "percent-encode"),
        ("postgresql://u:ge/he@im,geheim@host/db", "percent-encode"),
        ("postgresql://u:geheim@geheim?password=geheim@host/db", "percent-encode"),
    ],
)
def test_a_uri_that_cannot_be_understood_shows_no_part_of_its_password(uri: str, says: str) -> None:
    with pytest.raises(StorageMisconfigured, match=says) as told:
        database_url(uri)

    assert "heim" not in str(told.value)


@pytest.mark.parametrize(
    "uri", ["postgresql://u:ge/heim@host/db", "postgresql://u:ge?heim@host/db", "postgresql://u@h/db?password=ge@heim"]
)
def test_a_password_with_an_unescaped_character_works_where_its_end_is_clear(uri: str) -> None:
    assert "heim" in str(connects_to(uri)["password"])
    assert "heim" not in describe_database(database_url(uri))


@given(st.lists(st.sampled_from(_PIECES), max_size=10).map("".join))
def test_no_message_shows_what_stands_before_the_last_at_sign(pieces: str) -> None:
    try:
        said = describe_database(database_url(f"postgresql://u:geheim{pieces}geheim@host/db"))
    except StorageMisconfigured as error:
        said = str(error)

    assert "geheim" not in said


class TestSqlite:
    """The path, and the options after it."""

    def test_a_tilde_is_the_home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))

        assert database_url("sqlite:///~/runs.db").database == f"{tmp_path}/runs.db"
        assert database_url("sqlite:///file:~/runs.db?uri=true").database == f"file:{tmp_path}/runs.db"

    @pytest.mark.parametrize(
        ("uri", "says"),
        [
            ("sqlite:////~/runs.db", "use sqlite:///~/path"),
            ("sqlite:///~nosuchuser/runs.db", "a home that does not exist"),
            ("sqlite:////runs.db?mode=readonly", "use one of ro, rw, rwc"),
            ("sqlite:////runs.db?journal_mode=WAL", "the option journal_mode, which has no effect"),
            ("sqlite:////runs.db?isolation_level=IMMEDIATE", "has no effect"),
            ("sqlite:////runs.db?check_same_thread=false", "has no effect"),
            ("sqlite:////runs.db?timeout=soon", "no number of seconds"),
            ("sqlite:////runs.db?mode=ro&mode=rw", "more than once"),
        ],
    )
    def test_what_would_have_no_effect_is_refused(self, uri: str, says: str) -> None:
        with pytest.raises(StorageMisconfigured, match=says):
            database_url(uri)

    def test_spaces_round_the_uri_are_no_part_of_the_path(self) -> None:
        assert database_url(" sqlite:////data/runs.db\n").database == "/data/runs.db"

    def test_options_of_sqlite_are_passed_on_to_it(self) -> None:
        url = connection_url(database_url("sqlite:////data/a%20#b.db?mode=ro&timeout=5"))

        assert url.database == "file:/data/a%20%23b.db"
        assert dict(url.query) == {"mode": "ro", "uri": "true"}
