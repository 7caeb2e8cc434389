"""The mistakes of a newcomer: each message names what is wrong, and what to do about it.

The last rows of each group are those of C1, C3 and C4: values that would change silently, inputs that the workflow
does not declare, files whose names look like addresses, and wrong lines in `.env`.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.functional.conftest import Call
from wes_daemon import (
    InvalidRequest,
    RunId,
    RunNotFound,
    UnknownProvider,
    WorkflowRequest,
    build_application,
    read_settings,
)
from wes_daemon.application.ports.errors import StorageMisconfigured
from wes_daemon.bootstrap.application import Application
from wes_daemon.bootstrap.setting_problems import ConfigurationError

FAILED, USAGE, MISCONFIGURED = 1, 2, 3
LONG = "x" * 300
SECRET = "not-a-real-secret"

HELLO = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs:
  message: string
  times: int?
  words: string[]?
  loud: boolean?
  reads: File?
  folder: Directory?
  colour: {type: [{type: enum, symbols: [red, blue]}, "null"]}
outputs: {}
"""

FILES: Mapping[str, str | bytes] = {
    "hello.cwl": HELLO,
    "inputs.yaml": "message: hi\n",
    "list.yaml": "- message\n",
    "empty.yaml": "",
    "twice.yaml": "message: a\nmessage: b\n",
    "yaml.json": "message: hi\n",
    "digits.yaml": "message: hi\ntimes: 0.12345678901234567890\n",
    "far.yaml": "message: hi\nreads: {class: File, location: s3://bucket/reads.bam}\n",
    "unknown.yaml": "message: hi\nsample: S1\n",
    "empty.cwl": "",
    "page.cwl": "<!DOCTYPE html>\n<html><body>hello.cwl</body></html>\n",
    "broken.cwl": "class: [\n",
    "picture.cwl": b"\x89PNG\xff\xfe",
    "graph.cwl": "cwlVersion: v1.2\n$graph: [{id: main, class: Workflow, inputs: {}, outputs: {}, steps: {}}]\n",
    "hello.wdl": "version 1.0\nworkflow hello {}\n",
    "main.nf": "workflow {}\n",
    "old.cwl": "cwlVersion: sbg:draft-2\nclass: CommandLineTool\ninputs: []\noutputs: []\n",
    "folder/file.txt": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What a newcomer does; `names` and `advises` are texts of the message."""

    words: Sequence[str]
    code: int = USAGE
    names: str
    advises: str
    env: Mapping[str, str] = field(default_factory=dict)
    dot_env: str | None = None

    def __str__(self) -> str:
        return " ".join([*(f"{name}={value}"[:40] for name, value in self.env.items()), *self.words])[:70]


def mistake(words: str | Sequence[str], names: str, advises: str, code: int = USAGE, **env: str) -> Mistake:
    return Mistake(
        words=words.split() if isinstance(words, str) else words, code=code, names=names, advises=advises, env=env
    )


def in_env_file(text: str, names: str, advises: str, code: int = MISCONFIGURED) -> Mistake:
    return Mistake(words=["list"], code=code, names=names, advises=advises, dot_env=text)


COMMANDS = (
    mistake("sumbit hello.cwl", "'sumbit'", "Did you mean 'submit'?"),
    mistake("hello.cwl message=hi", "'hello.cwl'", "call wes-daemon submit hello.cwl"),
    mistake("start", "'start'", "call wes-daemon with its options alone"),
    mistake("status", "'status'", "wes-daemon show"),
    mistake("init", "'init'", "wes-daemon db upgrade"),
    mistake("frobnicate", "'frobnicate'", "The commands are demo, submit"),
    mistake("--wait submit hello.cwl", "'--wait'", "an option of submit, and stands after"),
    mistake("submit --log-level DEBUG hello.cwl", "'--log-level'", "stands before the name of the command"),
    mistake("list --staet RUNNING", "'--staet'", "Did you mean '--state'?"),
    mistake("list --state DONE", "'DONE'", "'COMPLETE'"),
    mistake("list --provider aws", "'aws'", "healthomics, local"),
    mistake("list --limit all", "'all'", "whole number from 1 to"),
    mistake("list --limit -1", "'--limit'", "1<=x<="),
    mistake("list --db-url x", "'--db-url'", "Did you mean '--db-uri'?"),
    mistake("db upgade", "'upgade'", "Did you mean 'upgrade'?"),
    mistake("--poll-interval 5m", "'5m' has a unit", "number of seconds, 300"),
    mistake("--poll-interval -1", "'--poll-interval'", "0<x<=86400"),
    mistake("--log-level verbose", "'verbose'", "'DEBUG'"),
    mistake("--max-concurrent-workflows ten", "'ten'", "whole number from 1 to"),
    mistake("verify --unchecked-for 1h", "'1h' has a unit", "number of seconds, 3600"),
    mistake("reconcile --since yesterday", "'yesterday'", "such as 7d"),
    mistake("reconcile --apply", "--apply", "add --yes"),
    mistake("demo --dir hello.cwl", "'hello.cwl'", "is a file"),
)

SUBMIT = (
    mistake("submit", "'WORKFLOW'", "a file, an address, or the provider's name"),
    mistake("submit helo.cwl", "helo.cwl: there is no such file", "name a file"),
    mistake("submit hello", "there is no file hello here", "did you mean hello.cwl?"),
    mistake("submit folder", "folder: is a directory", "name a file"),
    mistake("submit -", "standard input", "name a file"),
    mistake("submit empty.cwl", "empty.cwl is empty", "name the file that contains the workflow"),
    mistake("submit page.cwl", "page.cwl is an HTML page", "download the file itself"),
    mistake("submit broken.cwl", "broken.cwl is neither YAML nor JSON", "no CWL document: line 2, column"),
    mistake("submit picture.cwl", "picture.cwl is not a text", "name the file that contains the workflow"),
    mistake("submit inputs.yaml", "inputs.yaml is no CWL document", "given as --params"),
    mistake("submit graph.cwl#other", "no process #other", "#main"),
    mistake("submit hello.wdl", "'WDL'", "the local provider runs CWL only"),
    mistake("submit main.nf", "'NFL'", "the local provider runs CWL only"),
    mistake("submit old.cwl", "'sbg:draft-2'", "v1.0, v1.1, v1.2"),
    mistake("submit hello.cwl", "required input 'message' is missing", "add message=text"),
    mistake("submit hello.cwl msg=hi", "no input 'msg'", "did you mean 'message'?"),
    mistake("submit hello.cwl message=hi sample=S1", "no input 'sample'", "--no-checks"),
    mistake("submit hello.cwl --params unknown.yaml", "no input 'sample'", "--no-checks"),
    mistake(["submit", "hello.cwl", "message: hi"], "'message: hi'", "write message=…"),
    mistake("submit hello.cwl message = hi", "'message'", "without blanks around ="),
    mistake("submit hello.cwl --message hi", "'--message'", "written message=VALUE, without dashes"),
    mistake("submit hello.cwl inputs.yaml", "'inputs.yaml'", "--params inputs.yaml"),
    mistake("submit hello.cwl message=a message=b", "message is given twice", "as one list"),
    mistake("submit hello.cwl message=hi times=many", "times: the workflow expects int or null", "write times=4"),
    mistake("submit hello.cwl message=hi times=1.5", "this is a number with a fraction", "write times=4"),
    mistake("submit hello.cwl message=hi loud=yes", "loud: the workflow expects", "write loud=true"),
    mistake("submit hello.cwl message=hi words=[a,b]", "words: the workflow expects", """words='["text"]'"""),
    mistake("submit hello.cwl message=hi colour=green", "one of red, blue, or null, and this is another", "colour=red"),
    mistake("submit hello.cwl message=hi reads=file.txt", "reads: the workflow expects", "write reads=@FILE"),
    mistake("submit hello.cwl message=hi reads=@folder", "and this is a Directory", "write reads=@FILE"),
    mistake(
        ["submit", "hello.cwl", "message=hi", 'reads={"class": "File", "path": "absent.txt"}'],
        "value for reads: there is no file",
        "correct its path",
    ),
    mistake("submit hello.cwl message=hi reads=@a reads=@b", "reads is given twice", '[{"class": "File"'),
    mistake("submit hello.cwl message=hi reads=@file.txt", "no file", "correct its path"),
    mistake("submit hello.cwl message=@folder", "message: the workflow expects string", """message='"@…"'"""),
    mistake("submit hello.cwl --params missing.yaml", "missing.yaml cannot be read", "name a file of parameters"),
    mistake("submit hello.cwl --params folder", "folder cannot be read", "name a file of parameters"),
    mistake("submit hello.cwl --params list.yaml", "list.yaml must hold names and values", "such as message: hello"),
    mistake("submit hello.cwl --params empty.yaml", "empty.yaml is empty", "leave --params out"),
    mistake("submit hello.cwl --params yaml.json", "yaml.json is not JSON", "ends with .yaml"),
    mistake("submit hello.cwl --params twice.yaml", "line 2: 'message' is given twice", "remove one of the two"),
    mistake("submit hello.cwl --params digits.yaml", "digits.yaml: a number has more digits", "write it as a text"),
    mistake("submit hello.cwl message=hi --tag sample", "'sample'", "--tag sample=S1"),
    mistake("submit hello.cwl message=hi --tag a=1 --tag a=2", "a is given twice", "give it once"),
    mistake("submit hello.cwl message=hi --provider slurm", "'slurm'", "healthomics, local"),
    mistake(
        "submit hello.cwl message=hi --provider sevenbridges", "names no app of Seven Bridges", "owner/project/app"
    ),
    mistake("submit hello.cwl message=hi --provider healthomics", "no role", "AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN"),
    mistake(
        "submit 1234567 --provider healthomics",
        "no output location",
        "set AWS_HEALTHOMICS_OUTPUT_URI",
        AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN="arn:aws:iam::123456789012:role/r",
    ),
    mistake("submit hello.cwl message=hi --type-version v9", "'v9'", "v1.0, v1.1, v1.2"),
    mistake("submit hello.cwl message=hi --engine-parameter parallel=maybe", "'maybe'", "must be true or false"),
    mistake("submit hello.cwl message=hi --attach folder", "folder: is a directory", "attach its files one by one"),
    mistake("submit hello.cwl message=hi --wait --timeout 5m", "'5m' has a unit", "seconds, 300"),
    mistake("submit hello.cwl message=hi --timeout 5", "--timeout", "needs --wait"),
    mistake(["submit", "hello.cwl", r'message="a\u0000b"'], "workflow_params.message contains", "leave it out"),
    mistake(["submit", "hello.cwl", r'message="\ud83e"'], "half of a surrogate pair", "decode the text"),
    mistake(["submit", "hello.cwl", "message=a\udce9"], "the byte 0xE9 of a text that is not UTF-8", "decode the text"),
    mistake("submit hello.cwl message=hi times=0.12345678901234567890", "more digits", """times='"…"'"""),
    mistake("submit hello.cwl message=hi reads=@s3://b/k", "'s3://b/k' cannot be read here", "copy the file"),
    mistake("submit hello.cwl --params far.yaml", "s3://bucket/reads.bam", "copy the file to this machine"),
    mistake("submit hello.cwl message=hi reads=@chr1:1-2.bam", "there is no file", "correct its path"),
    mistake(f"submit hello.cwl message=hi reads=@{LONG}", "there is no file", "correct its path"),
    mistake(f"submit {LONG}.cwl", "there is no such file", "name a file"),
    mistake(f"submit hello.cwl message=hi --attach {LONG}", "there is no such file", "NAME=FILE"),
    mistake(f"submit hello.cwl --params {LONG}", "cannot be read: File name too long", "name a file of parameters"),
)

RUNS = (
    mistake("show", "'RUN'", "`wes-daemon list` shows the ids"),
    mistake("show nope", "run nope: there is no such run", "`wes-daemon list`", FAILED),
    mistake("cancel", "'RUN...'", "`wes-daemon list` shows the ids"),
    mistake("cancel nope", "run nope: there is no such run", "`wes-daemon list`", FAILED),
    mistake("resolve nope", "Give exactly one of", "--adopt ID, --send-again and --fail"),
    mistake("resolve nope --fail", "run nope: there is no such run", "`wes-daemon list`", FAILED),
    mistake("resolve nope --fail --send-again", "Give exactly one of", "--adopt ID"),
)

DATABASES = (
    mistake("list --db-uri runs.db", "no scheme", "sqlite:////absolute/path"),
    mistake("list --db-uri mysql://host/name", "mysql://", "works on PostgreSQL and SQLite"),
    mistake("list --db-uri http://host/name", "http://", "postgresql://user"),
    mistake(["list", "--db-uri", "'sqlite:///runs.db'"], "quotation marks", "remove them"),
    mistake("list --db-uri sqlite:///missing/runs.db", "the folder", "create the folder", FAILED),
    mistake("list --db-uri sqlite:///folder", "is a directory", "name a file in it", MISCONFIGURED),
    mistake("list --db-uri sqlite:///other.db", "there is no database at", "`wes-daemon db upgrade` create", FAILED),
    mistake(f"list --db-uri sqlite:///{LONG}", "there is no database at", "`wes-daemon db upgrade` create", FAILED),
    mistake("submit hello.cwl message=hi --db-uri sqlite:////missing/runs.db", "/missing", "mkdir -p", MISCONFIGURED),
    mistake("submit hello.cwl message=hi --db-uri sqlite:///runs.db?mode=ro", "runs.db", "mode=ro", MISCONFIGURED),
)

SETTINGS = (
    mistake("list", "DAEMON_POLL_INTERVAL: '5m' has a unit", "300", MISCONFIGURED, DAEMON_POLL_INTERVAL="5m"),
    mistake("list", "DAEMON_POLL_INTERVAL", "greater than 0", MISCONFIGURED, DAEMON_POLL_INTERVAL="-5"),
    mistake("list", "DAEMON_WORKERS", "greater than or equal to 1", MISCONFIGURED, DAEMON_WORKERS="0"),
    mistake("list", "DAEMON_AUTO_MIGRATE", "true or false", MISCONFIGURED, DAEMON_AUTO_MIGRATE="maybe"),
    mistake("list", "DAEMON_DEFAULT_PROVIDER", "healthomics, local", MISCONFIGURED, DAEMON_DEFAULT_PROVIDER="cwltool"),
    mistake("list", "DAEMON_LOG_LEVEL", "'DEBUG'", MISCONFIGURED, DAEMON_LOG_LEVEL="verbose"),
    mistake("list", "DATABASE_URI", "quotation marks", MISCONFIGURED, DATABASE_URI='"sqlite:///runs.db"'),
    mistake("list", "DATABASE_URI", "quotation marks", MISCONFIGURED, DATABASE_URI="\u201csqlite:///runs.db\u201d"),
    mistake("list", "DATABASE_URI", "sqlite:////absolute", MISCONFIGURED, DATABASE_URI="runs.db"),
    mistake("list", "SEVENBRIDGES_PROJECT", "owner/project", MISCONFIGURED, SEVENBRIDGES_PROJECT="project"),
    mistake(
        "list",
        "SEVENBRIDGES_API_ENDPOINT",
        "https://api.sbgenomics.com/v2",
        MISCONFIGURED,
        SEVENBRIDGES_API_ENDPOINT="api.sbgenomics.com",
    ),
    mistake("list", "AWS_REGION", "us-east-1", MISCONFIGURED, AWS_REGION="US East"),
    mistake("list", "AWS_HEALTHOMICS_OUTPUT_URI", "s3://bucket", MISCONFIGURED, AWS_HEALTHOMICS_OUTPUT_URI="bucket"),
    mistake(
        "list",
        "SEVENBRIDGES_API_TOKEN",
        "paste it again, in one line",
        MISCONFIGURED,
        SEVENBRIDGES_API_TOKEN=f"{SECRET}\n{SECRET}",
    ),
    mistake("list", "SEVENBRIDGES_PROFILE", "holds endpoint and token", MISCONFIGURED, SEVENBRIDGES_PROFILE="nobody"),
    in_env_file("# mine\nDAEMON_WORKERS: 4\n", ".env: line 2 (DAEMON_WORKERS)", "write NAME=VALUE"),
    in_env_file('A=1\n\nDAEMON_WORKERS="4\n', ".env: line 3 (DAEMON_WORKERS)", "both quotation marks or none"),
    in_env_file(f"{SECRET} and more\n", ".env: line 1 cannot be read", "write NAME=VALUE"),
    in_env_file("DATABASE_URI\n", ".env: line 1 (DATABASE_URI)", "write NAME=VALUE"),
    in_env_file("DAEMON_WORKER=4\n", "DAEMON_WORKER in .env", "did you mean DAEMON_WORKERS?", 0),
)

MISTAKES = (*COMMANDS, *SUBMIT, *RUNS, *DATABASES, *SETTINGS)


@pytest.fixture
def here(set_up: Path, call: Call) -> Path:
    """A newcomer's working directory, with a database."""
    for name, content in FILES.items():
        path = set_up / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert call("db", "upgrade").exit_code == 0
    return set_up


@pytest.fixture
def run_id(here: Path, call: Call) -> str:  # noqa: ARG001 - `submit` reads a file of it
    return str(call("submit", "hello.cwl", "message=hi").stdout.strip())


def said(call: Call, *words: str) -> tuple[int, str]:
    """Exit code and all output, on one line."""
    result = call(*words)
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_message_names_what_is_wrong_and_what_to_do(
    mistake: Mistake, here: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in mistake.env.items():
        monkeypatch.setenv(name, value)
    if mistake.dot_env is not None:
        (here / ".env").write_text(mistake.dot_env)

    code, output = said(call, *mistake.words)

    assert code == mistake.code, output
    assert mistake.names in output
    assert mistake.advises in output
    assert SECRET not in output
    assert "Traceback" not in output


@pytest.mark.usefixtures("here")
def test_nothing_is_queued_by_a_mistake(call: Call) -> None:
    for each in SUBMIT[:5]:
        call(*each.words)

    assert call("list", "--json").stdout.strip() == "[]"


class TestRunsOfAPerson:
    def test_the_beginning_of_an_id_is_completed(self, run_id: str, call: Call) -> None:
        for words in (["show"], ["cancel"], ["resolve", "--fail"]):
            code, output = said(call, *words, run_id[:8])

            assert code == FAILED
            assert f"run {run_id[:8]}: there is no such run" in output
            assert f"did you mean {run_id}?" in output

    def test_a_run_that_has_ended_cannot_be_cancelled(self, run_id: str, call: Call) -> None:
        call("cancel", run_id)
        call("run-once")

        code, output = said(call, "cancel", run_id)

        assert code == FAILED
        assert f"run {run_id} has ended as CANCELED" in output

    def test_a_run_that_needs_no_decision_is_said_to_need_none(self, run_id: str, call: Call) -> None:
        code, output = said(call, "resolve", run_id, "--fail")

        assert code == FAILED
        assert "it does not need review" in output
        assert "`wes-daemon list --review`" in output

    @pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
    def test_of_a_run_whose_row_was_deleted_the_timeline_is_shown(
        self, options: list[str], here: Path, run_id: str, call: Call
    ) -> None:
        with sqlite3.connect(here / "runs.db") as connection:
            connection.execute("DELETE FROM workflow_runs WHERE run_id = ?", (run_id,))
        connection.close()

        result = call("show", run_id, *options)

        assert result.exit_code == FAILED
        assert "queued" in result.stdout
        assert "its row was deleted from workflow_runs; only its timeline is left" in result.stderr


class TestFirstSteps:
    def test_without_providers_a_pass_says_what_to_set(
        self, here: Path, call: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DAEMON_LOCAL_WORKDIR")

        code, output = said(call, "run-once")

        assert code == 0
        assert "no provider is set up here" in output
        assert "set DAEMON_LOCAL_WORKDIR" in output

    def test_half_a_configuration_names_the_other_half(
        self, here: Path, call: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEVENBRIDGES_API_TOKEN", SECRET)

        _, output = said(call, "submit", "owner/project/app", "--provider", "sevenbridges")

        assert "provider sevenbridges is not enabled here: it is only half set up: set SEVENBRIDGES_PROJECT;" in output

    def test_without_settings_a_local_file_is_said_to_go_nowhere(
        self, here: Path, call: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The daemon may have other settings, so the run is queued."""
        monkeypatch.delenv("DAEMON_DEFAULT_PROVIDER")

        code, output = said(call, "submit", "hello.cwl", "message=hi")

        assert code == 0
        assert "the run goes to sevenbridges, which refuses it" in output
        assert "choose a provider that takes it: --provider local" in output

    @pytest.mark.parametrize("option", [(), ("--no-checks",)], ids=["with checks", "without checks"])
    def test_a_value_that_cannot_be_stored_is_refused_in_the_same_way_without_checks(
        self, here: Path, call: Call, option: Sequence[str]
    ) -> None:
        """C1"""
        code, output = said(call, "submit", "hello.cwl", r'message="\ud83e"', *option)

        assert code == 2
        assert "workflow_params.message contains half of a surrogate pair" in output
        assert "--no-checks" not in output

    def test_an_engine_that_the_provider_does_not_run_is_said_to_have_no_effect(self, here: Path, call: Call) -> None:
        """C3"""
        code, output = said(call, "submit", "hello.cwl", "message=hi", "--engine", "toil")

        assert code == 0
        assert "--engine toil has no effect: the run goes to local, whose engines are cwltool, local" in output

    def test_the_daemon_needs_a_folder_that_exists(self, here: Path, call: Call) -> None:
        code, output = said(call, "--db-uri", "sqlite:////missing/runs.db")

        assert code == MISCONFIGURED
        assert "/missing does not exist: create it (mkdir -p /missing)" in output


class TestFromPython:
    @pytest.fixture
    def application(self, here: Path) -> Application:
        return build_application(read_settings())

    @pytest.fixture
    def request_(self) -> WorkflowRequest:
        return WorkflowRequest(workflow_url="hello.cwl", workflow_type="CWL", workflow_type_version="v1.2")

    @pytest.mark.parametrize(
        ("name", "advice"),
        [
            ("poll_intervall", "did you mean daemon_poll_interval?"),
            ("DAEMON_POLL_INTERVALL", "did you mean daemon_poll_interval?"),
            ("colour", "the arguments are database_uri"),
        ],
    )
    def test_an_unknown_setting_is_named_with_the_right_one(self, name: str, advice: str) -> None:
        """C4"""
        with pytest.raises(ConfigurationError, match=rf"read_settings has no argument {name}.*{advice[:12]}") as caught:
            read_settings(**{name: 1})

        assert advice in str(caught.value)

    def test_an_application_needs_a_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DATABASE_URI", raising=False)

        with pytest.raises(ConfigurationError, match=r"DATABASE_URI: not set\. Name the database"):
            build_application(read_settings())

    def test_the_tables_are_created_first(self, clean: Path, request_: WorkflowRequest) -> None:
        application = build_application(read_settings(database_uri=f"sqlite:///{clean}/new.db"))

        with pytest.raises(StorageMisconfigured, match="wes-daemon db upgrade"):
            application.schema.require_head()

    def test_a_text_that_is_no_name_of_a_provider_is_named(
        self, application: Application, request_: WorkflowRequest
    ) -> None:
        with pytest.raises(UnknownProvider, match="'azure batch' is no provider's name"):
            application.create_run(request_, tags={"provider_type": "Azure Batch"})

    def test_a_value_that_json_cannot_express_is_named(self, application: Application) -> None:
        request = WorkflowRequest(
            workflow_url="hello.cwl",
            workflow_type="CWL",
            workflow_type_version="v1.2",
            workflow_params={"reads": [{"path": Path("a.bam")}]},
        )

        with pytest.raises(InvalidRequest, match=r"workflow_params\.reads\[0\]\.path is a PosixPath.*str\(value\)"):
            application.create_run(request)

    def test_an_unknown_run_is_named(self, application: Application) -> None:
        with pytest.raises(RunNotFound, match="run nope: there is no such run"):
            application.request_cancel(RunId("nope"))
        with pytest.raises(RunNotFound, match="run nope: there is no such run"):
            application.get_run(RunId("nope"))
