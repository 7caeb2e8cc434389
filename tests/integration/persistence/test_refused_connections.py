"""A server says why it refuses a connection in its own language; the daemon reads the SQLSTATE."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.integration.persistence.server import PostgreSQLServer
from tests.speaking_server import SpeakingServer
from wes_daemon.adapters.persistence import refused_connections
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.transactions import reading
from wes_daemon.application.ports.errors import StorageMisconfigured, StorageUnavailable


def connect(uri: str) -> None:
    engine = make_engine(uri, connections=1)
    try:
        with reading(engine):
            pass
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("sqlstate", "message", "advice"),
    [
        ("3D000", "Datenbank »wes« existiert nicht", "check the database name"),
        ("28P01", "Passwort-Authentifizierung für Benutzer »u« fehlgeschlagen", "check user and password"),
        ("28000", "Rolle »u« existiert nicht", "check user"),
        ("28000", "kein pg_hba.conf-Eintrag für Host »127.0.0.1«", "pg_hba.conf"),
        ("28000", "Rolle »u« hat keine Berechtigung zum Login", "LOGIN attribute"),
        ("42501", "keine Berechtigung für Datenbank »wes«", "grant the privilege"),
        ("42704", "unbekannter Konfigurationsparameter »foo«", "check the options"),
        ("22023", "ungültiger Wert für Parameter »statement_timeout«: »abc«", "check the options"),
        ("55P02", "Parameter »shared_buffers« kann nicht geändert werden", "check the options"),
        ("42601", "ungültiges Kommandozeilenargument für Serverprozess: xx", "check the options"),
    ],
)
def test_a_permanent_mistake_is_told_by_its_sqlstate_in_any_language(sqlstate: str, message: str, advice: str) -> None:
    with closing(SpeakingServer(sqlstate, message)) as server, pytest.raises(StorageMisconfigured) as told:
        connect(f"postgresql://u:geheim@127.0.0.1:{server.port}/wes")

    assert advice in str(told.value)
    assert message in str(told.value)
    assert "geheim" not in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        ("57P03", "das Datenbanksystem startet: Datenbank does not exist"),
        ("57P03", "das Datenbanksystem fährt herunter"),
        ("57P01", "Verbindung wird abgebrochen aufgrund von Anweisung des Administrators"),
        ("53300", "tut mir leid, schon zu viele Verbindungen: password authentication failed"),
        ("08P01", "no more connections allowed (max_client_conn)"),
        ("58P01", "konnte Datei nicht öffnen"),
        ("55000", "Datenbank »wes« akzeptiert gegenwärtig keine Verbindungen"),
        ("XX000", "no pg_hba.conf entry"),
    ],
)
def test_a_refusal_that_passes_is_waited_for_whatever_its_words_are(sqlstate: str, message: str) -> None:
    with closing(SpeakingServer(sqlstate, message)) as server, pytest.raises(StorageUnavailable):
        connect(f"postgresql://u@127.0.0.1:{server.port}/wes")


def test_a_refusal_after_the_password_was_sent_is_told_by_its_sqlstate() -> None:
    with (
        closing(
            SpeakingServer("3D000", 'データベース"wes"は存在しません', severity="致命的", asks_password=True)
        ) as server,
        pytest.raises(StorageMisconfigured, match="check the database name"),
    ):
        connect(f"postgresql://u:geheim@127.0.0.1:{server.port}/wes")


def test_a_server_that_only_starts_is_waited_for_if_the_other_one_lacks_the_database() -> None:
    one, other = SpeakingServer("57P03", "startet"), SpeakingServer("3D000", "gibt es nicht")

    with closing(one), closing(other), pytest.raises(StorageUnavailable):
        connect(f"postgresql://u@127.0.0.1:{one.port},127.0.0.1:{other.port}/wes")


def test_of_several_hosts_the_one_that_has_answered_is_quoted(tmp_path: Path) -> None:
    with closing(SpeakingServer("28P01", "wrong password")) as server, pytest.raises(StorageMisconfigured) as told:
        connect(f"postgresql://u@/wes?host={tmp_path},127.0.0.1&port=5432,{server.port}")

    assert "wrong password: check user and password" in str(told.value)


def test_nobody_at_the_address_is_waited_for() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]

    for uri in (
        f"postgresql://u@127.0.0.1:{port}/wes",
        "postgresql://u@nowhere.invalid/wes",
        "postgresql:///wes?host=/no",
    ):
        with pytest.raises(StorageUnavailable):
            connect(uri)


def test_without_the_function_of_libpq_a_refusal_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(_connection: int | None) -> None:
        raise AttributeError

    monkeypatch.setattr(refused_connections, "_write_sqlstates", not_found)

    with closing(SpeakingServer("3D000", "gibt es nicht")) as server, pytest.raises(StorageUnavailable):
        connect(f"postgresql://u@127.0.0.1:{server.port}/wes")


def test_a_value_that_libpq_refuses_before_it_connects_is_misconfigured() -> None:
    with pytest.raises(StorageMisconfigured, match="check the options"):
        connect("postgresql://u@nowhere.invalid/wes?require_auth=nonsense")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQLServer]:
    """A server that asks some roles for passwords."""
    server = PostgreSQLServer()
    server.allow(["local all guarded scram-sha-256", "local all unwanted reject", "local all all trust"])
    server.start()
    with closing(psycopg2.connect(server.uri())) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute("CREATE ROLE guarded LOGIN PASSWORD 'geheim'")
            cursor.execute("CREATE ROLE unwanted LOGIN; CREATE ROLE sleeping; CREATE ROLE crowd LOGIN")
            cursor.execute("ALTER ROLE crowd CONNECTION LIMIT 0")
            cursor.execute("CREATE DATABASE closed")
            cursor.execute("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    yield server
    server.remove()


class TestPostgreSQL:
    """A real server."""

    @pytest.mark.parametrize(
        ("uri", "says"),
        [
            ("postgresql://guarded:falsch@/postgres?host={}", "check user and password"),
            ("postgresql://guarded@/postgres?host={}", "check user and password"),
            ("postgresql://guarded:geheim@/missing?host={}", "check the database name"),
            ("postgresql://guarded:geheim@/closed?host={}", "grant the privilege"),
            ("postgresql://nobody_here@/postgres?host={}", "check user"),
            ("postgresql://sleeping@/postgres?host={}", "LOGIN attribute"),
            ("postgresql://unwanted@/postgres?host={}", "pg_hba.conf"),
            ("postgresql://guarded:geheim@/postgres?host={}&options=-cnonsense%3D1", "check the options"),
        ],
    )
    def test_a_permanent_mistake_is_misconfigured(self, server: PostgreSQLServer, uri: str, says: str) -> None:
        with pytest.raises(StorageMisconfigured, match=says) as told:
            connect(uri.format(server.folder))

        assert "geheim" not in str(told.value)
        assert "falsch" not in str(told.value)

    def test_too_many_connections_are_waited_for(self, server: PostgreSQLServer) -> None:
        with pytest.raises(StorageUnavailable, match="too many connections"):
            connect(f"postgresql://crowd@/postgres?host={server.folder}")

    def test_the_right_password_works(self, server: PostgreSQLServer) -> None:
        connect(f"postgresql://guarded:geheim@/postgres?host={server.folder}")


def test_a_socket_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        connect(f"postgresql://u@/wes?host={tmp_path}")
