"""What a person is told who has named a database wrongly, and what is waited for."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.functional.conftest import Call, Launch, ended, says, stop, until
from tests.speaking_server import SpeakingServer


def test_the_daemon_ends_with_3_for_a_database_that_a_german_server_does_not_have(launch: Launch) -> None:
    with closing(SpeakingServer("3D000", "Datenbank »wes« existiert nicht")) as server:
        code, out, err = ended(launch("--db-uri", f"postgresql://u:geheim@127.0.0.1:{server.port}/wes"))

    assert code == 3
    assert "check the database name" in err
    assert "geheim" not in out + err
    assert "Traceback" not in out + err


def test_the_daemon_waits_for_a_german_server_that_starts(launch: Launch, clean: Path) -> None:
    log = clean / "daemon.log"
    with closing(SpeakingServer("57P03", "das Datenbanksystem startet")) as server:
        uri = f"postgresql://u:geheim@127.0.0.1:{server.port}/wes"
        daemon = launch("--db-uri", uri, "--log-file", str(log))
        until(says(log, "database.unavailable"))
        stop(daemon)
        code, out, err = ended(daemon)

    assert code == 0
    assert "geheim" not in out + err


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("postgresql://u:geheim@host/db?pgbouncer=true", "a pooler needs no option"),
        ("postgresql://u:geheim@host/db?sslmode=required", "write sslmode=require"),
        ("postgresql://u:x@geheim/geheim@host/db", "percent-encode"),
        ("postgresql://u:geheim/db", "cannot be read"),
        ("sqlite:////data/runs.db?journal_mode=WAL", "which has no effect"),
    ],
)
def test_a_uri_that_cannot_be_used_is_misconfiguration_in_one_line(
    uri: str, told: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URI", uri)

    result = call("db", "upgrade")

    assert result.exit_code == 3
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "geheim" not in result.output


def test_spaces_and_a_newline_round_the_uri_are_ignored(
    call: Call, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URI", f" sqlite:///{clean}/runs.db\n")

    assert call("db", "upgrade").exit_code == 0

    assert (clean / "runs.db").exists()


def test_a_tilde_is_the_home_and_not_a_folder_of_that_name(call: Call, clean: Path) -> None:
    home = clean.parent / "home"
    home.mkdir()

    assert call("db", "upgrade", "--db-uri", "sqlite:///~/runs.db").exit_code == 0

    assert (home / "runs.db").exists()
    assert not (clean / "~").exists()


def test_a_database_that_may_only_be_read_is_listed_and_not_written_to(call: Call, clean: Path) -> None:
    uri = f"sqlite:///{clean}/runs.db"
    call("db", "upgrade", "--db-uri", uri)

    listed = call("list", "--db-uri", f"{uri}?mode=ro")
    written = call("run-once", "--db-uri", f"{uri}?mode=ro")

    assert listed.exit_code == 0
    assert written.exit_code == 3
    assert "remove mode=ro" in written.stderr
