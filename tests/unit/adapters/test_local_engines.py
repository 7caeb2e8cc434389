"""The setting that names the engine of local runs, its command line, and the engine parameters that it supports."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from wes_daemon.adapters.providers.local.engine_parameters import EngineParameters, read_engine_parameters
from wes_daemon.adapters.providers.local.engines import (
    Dialect,
    ExternalEngine,
    read_engine,
    require_program,
    require_supported,
)
from wes_daemon.adapters.providers.local.external_engine import engine_arguments
from wes_daemon.adapters.providers.local.plan import Plan
from wes_daemon.adapters.providers.local.run_directory import RunDirectory
from wes_daemon.application.ports.errors import Misconfigured, Rejected

RUN = RunDirectory(Path("/work/wes-1"))
PLAN = Plan(document="./main.cwl", inputs_file="wes-inputs-0.json", parameters=EngineParameters())


def engine(text: str) -> ExternalEngine:
    found = read_engine(text)
    assert found is not None
    return found


def arguments(text: str, plan: Plan = PLAN) -> list[str]:
    """Return what follows the words of the setting."""
    found = engine(text)
    return engine_arguments(plan, found, RUN)[len(found.command) :]


@pytest.mark.parametrize("text", ["cwltool", " cwltool ", ""])
def test_the_plain_name_cwltool_is_the_built_in_engine(text: str) -> None:
    assert read_engine(text) is None


@pytest.mark.parametrize(
    ("text", "command", "dialect"),
    [
        ("toil-cwl-runner --batchSystem slurm", ("toil-cwl-runner", "--batchSystem", "slurm"), Dialect.TOIL),
        ("/opt/t/bin/toil-cwl-runner --x 'a b'", ("/opt/t/bin/toil-cwl-runner", "--x", "a b"), Dialect.TOIL),
        ("nice -n 5 toil-cwl-runner", ("nice", "-n", "5", "toil-cwl-runner"), Dialect.TOIL),
        ("/opt/bin/cwltool", ("/opt/bin/cwltool",), Dialect.CWLTOOL),
        ("cwl-runner --a=$HOME;b", ("cwl-runner", "--a=$HOME;b"), Dialect.OTHER),
    ],
)
def test_the_setting_is_split_as_a_shell_does_and_nothing_else(
    text: str, command: tuple[str, ...], dialect: Dialect
) -> None:
    assert (engine(text).command, engine(text).dialect) == (command, dialect)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runner 'a", "cannot be split into words: no closing quotation"),
        ("./runner", "'./runner' is a relative path"),
        ("runner --outdir /x", "the daemon sets --outdir for each run itself"),
        (
            "toil-cwl-runner --jobStore=/x",
            "runs cannot share a job store: write {run} in its name, or leave --jobStore out",
        ),
        ("toil-cwl-runner --writeMessages m", "the daemon sets --writeMessages"),
        ("python -m cwltool --no-container", "exits 0 when a run has failed, too"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_with_what_corrects_it(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_engine(text)


def test_an_engine_is_called_as_the_convention_says() -> None:
    assert arguments("runner --fast") == [
        *("--outdir", "/work/wes-1/outputs"),
        *("/work/wes-1/attachments/main.cwl", "/work/wes-1/attachments/wes-inputs-0.json"),
    ]


@pytest.mark.parametrize("document", ["https://host/a.cwl#main", "./main.cwl#echo", "./a%20b.cwl"])
def test_a_document_that_no_plain_path_can_name_is_an_address(document: str) -> None:
    found = arguments("runner", replace(PLAN, document=document))[2]

    assert found in (document, f"file:///work/wes-1/attachments/{document.removeprefix('./')}")


def test_a_job_store_outside_of_the_runs_has_the_name_of_the_run() -> None:
    found = engine_arguments(PLAN, engine("toil-cwl-runner --jobStore=aws:eu-west-1:{run}"), RUN)

    assert found[1] == "--jobStore=aws:eu-west-1:wes-1"
    assert "--jobStore" not in found


def test_toil_keeps_its_state_in_the_directory_of_the_run() -> None:
    found = arguments("toil-cwl-runner")

    assert found[:8] == [
        *("--jobStore", "/work/wes-1/tmp/jobstore", "--batchLogsDir", "/work/wes-1/tmp"),
        *("--writeLogs", "/work/wes-1/logs/toil", "--writeMessages", "/work/wes-1/logs/toil.messages"),
    ]


@pytest.mark.parametrize(
    ("text", "given", "options"),
    [
        ("toil-cwl-runner", {"container": "none"}, ["--no-container"]),
        ("toil-cwl-runner", {"container": "singularity", "parallel": True}, ["--singularity"]),
        ("toil-cwl-runner", {"container": "docker"}, []),
        ("toil-cwl-runner", {"relax_path_checks": True}, ["--relax-path-checks"]),
        ("/opt/cwltool", {"preserve_environment": "LANG"}, ["--on-error=stop", "--preserve-environment=LANG"]),
        ("/opt/cwltool", {"container": "podman", "parallel": True}, ["--parallel", "--on-error=stop", "--podman"]),
        ("/opt/cwltool", {"on_error": "continue"}, ["--on-error=continue"]),
    ],
)
def test_engine_parameters_become_options_of_the_engines_that_know_them(
    text: str, given: dict[str, object], options: list[str]
) -> None:
    require_supported(engine(text), given)
    plain = arguments(text)

    found = arguments(text, replace(PLAN, parameters=read_engine_parameters(given)))

    assert [option for option in found if option in options or option not in plain] == options


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("runner", {"container": "none"}, "container: the engine runner, which DAEMON_LOCAL_ENGINE names, does not"),
        ("runner", {"parallel": True, "on_error": "stop"}, "on_error, parallel: .* does not support these; omit them"),
        ("toil-cwl-runner", {"parallel": "false"}, "parallel: the engine toil-cwl-runner"),
        ("toil-cwl-runner", {"preserve_environment": "LANG"}, "preserve_environment: the engine toil-cwl-runner"),
        ("toil-cwl-runner --singularity", {"container": "none"}, "DAEMON_LOCAL_ENGINE has decided with --singularity"),
    ],
)
def test_engine_parameters_that_an_engine_cannot_obey_are_rejected(
    text: str, given: dict[str, object], message: str
) -> None:
    with pytest.raises(Rejected, match=message):
        require_supported(engine(text), given)


def test_a_parameter_that_is_null_is_not_given() -> None:
    require_supported(engine("runner"), {"container": None})


def test_a_recorded_engine_is_read_as_it_was() -> None:
    recorded = ExternalEngine(
        command=("/a", "b"), variables=("SLURM_CONF",), grace=timedelta(seconds=7), cancel_jobs=("scancel",)
    )

    assert ExternalEngine.from_object(recorded.as_object()) == recorded


@pytest.mark.parametrize("damaged", [None, "cwltool", [], {}, {"command": []}, {"command": 3}])
def test_a_run_that_names_no_engine_has_the_built_in_one(damaged: object) -> None:
    assert ExternalEngine.from_object(damaged) is None


def test_a_program_is_found_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "runner").write_text("#!/bin/sh\n")
    (tmp_path / "runner").chmod(0o755)

    assert require_program(engine("runner -x")).command == (str(tmp_path / "runner"), "-x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "no-such-runner",
            "DAEMON_LOCAL_ENGINE: there is no program 'no-such-runner' in the daemon's PATH: install it",
        ),
        ("{}/gone", "there is no program .*/gone: install it on the daemon's machine, or correct the path"),
        ("{}/plain", "/plain is not executable by this user: make it so with `chmod"),
        ("{}", "is a directory: name the program in it"),
        ("{}/moved", "/moved names the interpreter /gone/python, which does not exist: install the engine again"),
    ],
)
def test_a_missing_program_is_the_fault_of_the_set_up(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "moved").write_text("#!/gone/python -I\n")
    (tmp_path / "moved").chmod(0o755)

    with pytest.raises(Misconfigured, match=message):
        require_program(engine(text.format(tmp_path)))
