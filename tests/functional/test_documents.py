"""The documents are right: their commands run, their examples work, their tables agree with the code."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from wes_daemon.bootstrap.settings import documented_settings
from wes_daemon.entrypoints.cli.main import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BOUND = 240


def _blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


def _having(language: str) -> list[Path]:
    return [document for document in DOCUMENTS if _blocks(document, language)]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def reader(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who follows a document in an empty directory."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
    programs = str(Path(sys.executable).parent)
    return {**kept, "PATH": f"{programs}:{kept['PATH']}", "HOME": str(tmp_path), "NO_COLOR": "1"}


@pytest.mark.parametrize("document", _having("console"), ids=_name)
def test_the_commands_of_a_document_run_in_their_order(
    document: Path, tmp_path: Path, reader: Mapping[str, str]
) -> None:
    _save_files(document, tmp_path)
    commands = [line[2:] for block in _blocks(document, "console") for line in block.splitlines() if line[:2] == "$ "]
    script = "\n".join(["set -eu -o pipefail", *commands, "kill $(jobs -p) 2> /dev/null || true", "wait || true"])

    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=dict(reader),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=BOUND)
    finally:
        _end(shell.pid)

    assert shell.returncode == 0, output


@pytest.mark.parametrize("document", _having("python"), ids=_name)
def test_the_examples_of_a_document_work(document: Path, tmp_path: Path, reader: Mapping[str, str]) -> None:
    for example in _blocks(document, "python"):
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            cwd=tmp_path,
            env=dict(reader),
            capture_output=True,
            text=True,
            timeout=BOUND,
        )

        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_command_and_option_that_is_named_exists(document: Path) -> None:
    for words in _mentioned(document.read_text()):
        command: click.Command = cli
        context = click.Context(cli, info_name="wes-daemon")
        for word in words:
            if isinstance(command, click.Group) and (found := command.get_command(context, word)):
                command = found
            elif word.startswith("--") and word != "--help":
                assert word in _options(command) | _options(cli), f"{document.name}: wes-daemon {' '.join(words)}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_table_of_settings_is_that_of_the_code() -> None:
    text = (ROOT / "docs/settings.md").read_text().split("<!-- settings:")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| (.*) \|$", text, re.MULTILINE)

    assert rows == [
        (name, {"True": "true", "False": "false"}.get(value, value), told)
        for name, value, told in documented_settings()
    ]


def test_the_first_block_runs_the_main_job_and_the_second_the_tests() -> None:
    first, second = _blocks(ROOT / "README.md", "sh")[:2]

    assert first.count("\n") == second.count("\n") == 1
    assert first.rstrip().endswith("wes-daemon demo")
    assert "pytest" in second


def test_the_unit_file_starts_the_daemon_with_options_that_exist() -> None:
    [unit] = _blocks(ROOT / "docs/operations.md", "ini")
    [start] = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)

    _, *arguments = shlex.split(start)

    cli.make_context("wes-daemon", arguments, resilient_parsing=False)


def test_every_event_in_the_table_is_one_that_the_code_logs() -> None:
    table = (ROOT / "docs/operations.md").read_text().split("## What it logs")[1].split("## ")[0]
    events = re.findall(r"`([a-z_.]+)`(?=[^|]*\| [A-Z])", table)
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))

    assert events
    assert [event for event in events if f'"{event}' not in code] == []


def _save_files(document: Path, directory: Path) -> None:
    for block in _blocks(document, "yaml"):
        if named := re.match(r"# (\S+)\n", block):
            (directory / named[1]).write_text(block)


def _mentioned(text: str) -> Iterator[list[str]]:
    """The words after `wes-daemon` in code, up to the end of the command."""
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    for line in code:
        for mention in re.findall(r"(?:^|[\s;&|(/])wes-daemon(( [^|;&<>)`]+)?)", line):
            yield [word.strip("\"'…[].,") for word in mention[0].split()]


def _options(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}


def _end(session: int) -> None:
    """End what the document left running: our own session, started above."""
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return
