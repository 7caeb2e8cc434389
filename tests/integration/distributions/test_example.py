"""The example plug-in, from its wheel, in a fresh environment without this clone."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.integration.distributions.environment import BOUND, EXAMPLE, ROOT, Environment

# What a plug-in, a program and a test may import of the package; docs/python.md and docs/write-a-provider.md name them.
PUBLIC = {"wes_daemon", "wes_daemon.plugins", "wes_daemon.plugins.setting_types", "wes_daemon.testing"}
DOCUMENTS = ("docs/python.md", "docs/write-a-provider.md")


def test_the_example_passes_the_contract_suite(environment: Environment, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")

    report = environment.run("python", "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path))

    assert re.search(r"^[3-9]\d passed", report, re.MULTILINE), report


def test_the_suite_in_the_document_passes(environment: Environment, tmp_path: Path) -> None:
    [suite] = [example for example in _examples(ROOT / DOCUMENTS[1]) if "(ProviderContract)" in example]
    (tmp_path / "test_memory.py").write_text(suite)

    report = environment.run("python", "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path))

    assert re.search(r"^[3-9]\d passed", report, re.MULTILINE), report


def test_a_run_of_the_example_ends_complete(environment: Environment) -> None:
    with environment.daemon():
        run_id = environment.submit("--wait", "--timeout", "120")

    run = environment.show(run_id)
    [provider] = [each for each in environment.providers() if each["name"] == "scripts"]
    assert (run["state"], run["outputs"]) == ("COMPLETE", {"greeting": "hello World"})
    assert [task["exit_code"] for task in run["task_logs"]] == [0]
    assert (provider["state"], provider["distribution"], provider["version"]) == (
        "enabled",
        "wes-daemon-scripts",
        "1.0.0",
    )


def test_runs_wait_with_the_reason_while_their_plug_in_is_uninstalled(
    wheels: Mapping[str, Path], tmp_path: Path
) -> None:
    environment = Environment(tmp_path, wheels)
    environment.run("wes-daemon", "run-once")
    run_id = environment.submit()

    environment.uninstall("wes-daemon-scripts")
    environment.run("wes-daemon", "run-once", code=3)

    run = environment.show(run_id)
    assert run["state"] == "QUEUED"
    assert "no daemon that serves the provider scripts is at work" in run["daemon"]["unserved"]
    assert "install the plug-in here" in run["daemon"]["unserved"]


def test_the_example_and_the_examples_of_the_documents_pass_mypy_in_strict_mode(
    environment: Environment, tmp_path: Path
) -> None:
    shutil.copy(EXAMPLE / "tests/test_contract.py", tmp_path)
    for document in DOCUMENTS:
        for number, example in enumerate(_examples(ROOT / document)):
            (tmp_path / f"{Path(document).stem.replace('-', '_')}_{number}.py").write_text(example)
    modules = [argument for path in tmp_path.glob("*.py") for argument in ("-m", path.stem)]

    result = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull),
            *("--python-executable", str(environment.python), "--cache-dir", str(tmp_path / "cache")),
            *("-p", "wes_daemon_scripts", *modules),
        ],
        cwd=tmp_path,
        env={**environment.variables, "MYPYPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=BOUND,
    )

    assert result.returncode == 0, result.stdout


def test_the_example_and_the_examples_of_the_documents_import_public_names_only() -> None:
    texts = [path.read_text() for path in EXAMPLE.rglob("*.py")]
    texts += [example for document in DOCUMENTS for example in _examples(ROOT / document)]

    imported = {name for text in texts for name in re.findall(r"^\s*(?:from|import) (wes_daemon[\w.]*)", text, re.M)}

    assert {name for name in imported if name.partition(".")[0] == "wes_daemon"} <= PUBLIC
    assert imported >= PUBLIC


def _examples(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
