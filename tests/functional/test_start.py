"""Before anything is done: help, version, completion, and what is not imported."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence

import click
import pytest

from tests.functional.conftest import Call, Launch, ended
from wes_daemon.entrypoints.cli.main import cli

HEAVY = ("boto3", "botocore", "sevenbridges", "cwltool")
FRAMEWORKS = (*HEAVY, "sqlalchemy", "alembic", "pydantic", "pydantic_settings", "rich", "yaml", "dependency_injector")
SUB_COMMANDS = ("demo", "submit", "list", "show", "cancel", "run-once", "verify", "db")


def test_help_names_every_sub_command_and_the_exit_codes(call: Call) -> None:
    result = call("--help")

    assert result.exit_code == 0
    assert [name for name in SUB_COMMANDS if f"  {name} " not in result.output] == []
    assert "0 done, 1 failed, 2 wrong usage, 3 misconfigured" in result.output


@pytest.mark.parametrize("words", [*((name,) for name in SUB_COMMANDS), ("db", "upgrade"), ("db", "current")])
def test_every_command_explains_itself(words: tuple[str, ...], call: Call) -> None:
    result = call(*words, "--help")

    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: wes-daemon {' '.join(words)}")


def test_help_takes_little_more_than_the_import_of_click(launch: Launch) -> None:
    """About two and a half times as long; a framework that is imported too takes it past six."""

    def seconds(*arguments: str, command: Sequence[str] = ()) -> float:
        # Of the processor, so that it does not matter what else this machine is doing.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended(launch(*arguments, command=command))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    importing_click = [sys.executable, "-c", "import click"]
    measured = [(seconds("--help"), seconds(command=importing_click)) for _ in range(5)]

    assert min(helped for helped, _ in measured) < 6 * min(imported for _, imported in measured)


@pytest.mark.parametrize(("word", "said"), [("sumbit", "'submit'"), ("start", "with its options alone")])
def test_a_command_that_does_not_exist_is_wrong_usage_with_a_hint(word: str, said: str, call: Call) -> None:
    result = call(word)

    assert result.exit_code == 2
    assert said in result.stderr


def test_version_is_that_of_the_package(call: Call) -> None:
    from importlib.metadata import version

    assert call("--version").output == f"wes-daemon {version('wes-daemon')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("list",),
        ("submit", "https://example.org/echo.cwl"),
        ("cancel", "nobody"),
        ("db", "current"),
        ("run-once", "--json"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("set_up")
def test_no_command_imports_what_only_a_provider_needs(arguments: tuple[str, ...], call: Call) -> None:
    call("db", "upgrade")
    script = (
        "import sys, atexit; from wes_daemon.entrypoints.cli.main import main; "
        f"atexit.register(lambda: print('LOADED', [name for name in {HEAVY} if name in sys.modules])); main()"
    )

    called = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)

    assert "LOADED []" in called.stdout


def _commands(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, beginning with none for the daemon itself."""
    yield above
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*above, name))
        else:
            yield (*above, name)


@pytest.mark.parametrize("words", list(_commands(cli)), ids=lambda words: " ".join(("wes-daemon", *words)))
def test_help_imports_no_framework_but_click(words: tuple[str, ...]) -> None:
    script = (
        "import sys, atexit; from wes_daemon.entrypoints.cli.main import main; "
        f"atexit.register(lambda: print('LOADED', [name for name in {FRAMEWORKS} if name in sys.modules])); main()"
    )

    called = subprocess.run([sys.executable, "-c", script, *words, "--help"], capture_output=True, text=True)

    assert called.returncode == 0
    assert called.stdout.endswith("\nLOADED []\n")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("wes-daemon sub", "submit"),
        ("wes-daemon list --state EXEC", "EXECUTOR_ERROR"),
        ("wes-daemon submit x.cwl --provider lo", "local"),
        ("wes-daemon --log-level WARN", "WARNING"),
    ],
)
def test_the_shell_completes_commands_states_and_providers(words: str, offered: str) -> None:
    completing = {
        "_WES_DAEMON_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }

    called = subprocess.run(
        [sys.executable, "-m", "wes_daemon"], env=os.environ | completing, capture_output=True, text=True
    )

    assert called.stdout == f"plain,{offered}\n"


def test_a_shell_gets_a_script_for_completion() -> None:
    called = subprocess.run(
        [sys.executable, "-m", "wes_daemon"],
        env=os.environ | {"_WES_DAEMON_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
    )

    assert "complete -o nosort -F" in called.stdout
