"""D2 and D4: what a local run fetches over HTTP is what the server has, and a silent server is not waited for."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("cwltool")

import requests

from tests.integration.providers.file_server import Answer, FileServer, file_server
from tests.integration.providers.local_harness import CWL, LocalHarness
from wes_daemon.adapters.providers.local.downloads import DownloadFailed, DownloadRefused, Downloads
from wes_daemon.application.ports.providers import RunDetails, Submission
from wes_daemon.domain.runs import Attachment, StatusReport
from wes_daemon.domain.states import RunState
from wes_daemon.testing import status

SILENT = Answer(silent=True)
HTML = Answer(body=b"\n<!DOCTYPE html>\n<html><body>cwlVersion: v1.2</body></html>")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHarness]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # cwltool caches downloads there.
    harness = LocalHarness(tmp_path)
    yield harness
    harness.close()


class Attempts:
    """Downloads whose pauses and notes are recorded."""

    def __init__(self, folder: Path) -> None:
        self.pauses: list[timedelta] = []
        self.notes: list[str] = []
        self.downloads = Downloads(
            folder, timeout=timedelta(milliseconds=200), note=self.notes.append, pause=self.pauses.append
        )

    def file(self, url: str) -> Path:
        return self.downloads.file(requests.Session(), url)

    def text(self, url: str) -> str:
        return self.downloads.text(requests.Session(), url, {})


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path)


@pytest.mark.parametrize("status", [202, 204, 206, 304, 400, 401, 403, 404, 410, 451])
def test_an_answer_that_is_not_the_file_is_refused_at_once(attempts: Attempts, server: FileServer, status: int) -> None:
    url = server.serve("/reads.txt", Answer(status=status, body=b"no"))

    with pytest.raises(DownloadRefused, match=rf"cannot fetch {url}, because the server answered {status} \("):
        attempts.file(url)

    assert server.requests["/reads.txt"] == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_server_error_is_tried_again_and_then_given_up(attempts: Attempts, server: FileServer, status: int) -> None:
    url = server.serve("/reads.txt", Answer(status=status))

    with pytest.raises(
        DownloadFailed, match=rf"cannot fetch {url}, because the server answered {status}.* \(3 tries\)"
    ):
        attempts.file(url)

    assert server.requests["/reads.txt"] == 3
    assert attempts.pauses == [timedelta(seconds=1), timedelta(seconds=5)]
    assert all(url in note and f"{status}" in note for note in attempts.notes)


def test_a_file_that_comes_at_a_later_try_is_used_and_fetched_once(attempts: Attempts, server: FileServer) -> None:
    url = server.serve("/reads.txt", Answer(status=503), Answer(body=b"ACGT"), Answer(body=b"another"))

    assert attempts.file(url).read_bytes() == b"ACGT"

    assert attempts.file(url).read_bytes() == b"ACGT"
    assert server.requests["/reads.txt"] == 2


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("20", 20), ("0", 1), ("86400", 60), ("soon", 1), ("nan", 1), ("Thu, 01 Jan 2099 12:00:30 GMT", 60)],
)
def test_the_server_says_when_to_try_again_within_a_bound(
    attempts: Attempts, server: FileServer, given: str, seconds: int
) -> None:
    url = server.serve("/reads.txt", Answer(status=429, headers={"Retry-After": given}), Answer(body=b"ACGT"))

    attempts.file(url)

    assert attempts.pauses == [timedelta(seconds=seconds)]


@pytest.mark.parametrize("read", [Attempts.file, Attempts.text])
@pytest.mark.parametrize("answer", [SILENT, Answer(body=b"AC", missing=2)])
def test_a_server_that_is_silent_or_breaks_off_fails(
    attempts: Attempts, server: FileServer, read: Callable[[Attempts, str], object], answer: Answer
) -> None:
    url = server.serve("/reads.txt", answer)

    with pytest.raises(DownloadFailed, match=r"no answer came within 0.2 s|no more data came|the connection failed"):
        read(attempts, url)

    assert server.requests["/reads.txt"] == 3


def test_nothing_remains_of_a_file_that_broke_off(attempts: Attempts, server: FileServer, tmp_path: Path) -> None:
    url = server.serve("/reads.txt", Answer(body=b"AC", missing=2), Answer(body=b"ACGT"))

    assert [attempts.file(url)] == list(tmp_path.iterdir())


def test_a_refused_connection_is_named_and_no_secret_of_the_address(attempts: Attempts) -> None:
    with pytest.raises(DownloadFailed, match="the connection failed: Connection refused") as failed:
        attempts.file("http://u:Geheim@127.0.0.1:9/reads.txt?sig=Geheim")

    assert "Geheim" not in str(failed.value) + "".join(attempts.notes)


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a..b/x", "https://127.0.0.1:99999/x"])
def test_an_address_that_is_none_is_refused(attempts: Attempts, url: str) -> None:
    with pytest.raises((DownloadRefused, DownloadFailed)):
        attempts.file(url)


def test_a_document_without_a_declared_encoding_is_utf_8(attempts: Attempts, server: FileServer) -> None:
    plain = server.serve("/plain", Answer(body="né".encode(), headers={"Content-Type": "text/plain"}))
    declared = {"Content-Type": "text/plain; charset=ISO-8859-1"}
    latin = server.serve("/latin", Answer(body="né".encode("latin-1"), headers=declared))

    assert (attempts.text(plain), attempts.text(latin)) == ("né", "né")


def test_only_a_server_that_says_so_has_no_such_file(attempts: Attempts, server: FileServer) -> None:
    answers = {"/a": Answer(), "/b": Answer(status=404), "/c": Answer(status=405), "/d": SILENT}
    urls = [server.serve(path, answer) for path, answer in answers.items()]

    missing = [attempts.downloads.is_missing(requests.Session(), url) for url in urls]

    assert missing == [False, True, False, False]


def run(harness: LocalHarness, submission: Submission, state: RunState) -> tuple[StatusReport, RunDetails]:
    """Submit, wait for the expected state, and return status and details."""
    provider = harness.provider()
    id = provider.submit(submission).id
    harness.reach(id, state)
    return status(provider, id), provider.details(id)


def file_at(url: str) -> dict[str, object]:
    """A file as an input."""
    return {"class": "File", "location": url}


def test_an_input_that_is_not_found_ends_the_run_with_address_and_status(
    harness: LocalHarness, server: FileServer
) -> None:
    url = f"{server.address('/reads.txt')}?sig=Geheim"

    report, details = run(harness, harness.of("cat.cwl", {"text": file_at(url)}), RunState.EXECUTOR_ERROR)

    assert (
        f"cannot fetch {server.address('/reads.txt')}?sig=***, because the server answered 404 (Not Found)"
        in report.message
    )
    assert "Geheim" not in report.message
    assert list(details.tasks) == []


def test_an_input_from_a_failing_server_is_nobodys_result(harness: LocalHarness, server: FileServer) -> None:
    url = server.serve("/reads.txt", Answer(status=500, body=b"Internal Server Error"))

    report, details = run(harness, harness.of("cat.cwl", {"text": file_at(url)}), RunState.SYSTEM_ERROR)

    assert f"cannot fetch {url}, because the server answered 500 (Internal Server Error) (3 tries)" in report.message
    assert any(f"{url}: the server answered 500" in note and "again in 5 s" in note for note in details.system_logs)
    assert server.requests["/reads.txt"] == 3


def test_an_input_that_is_found_is_the_runs_data(harness: LocalHarness, server: FileServer) -> None:
    url = server.serve("/reads.txt", Answer(body=b"ACGT\n"))

    _, details = run(harness, harness.of("cat.cwl", {"text": file_at(url)}), RunState.COMPLETE)

    copy = details.outputs["copy"]
    assert isinstance(copy, dict)
    assert Path(copy["path"]).read_text() == "ACGT\n"


PLACES = {
    "a secondary file": ({"text": {**file_at("MAIN"), "secondaryFiles": [file_at("GONE")]}}, "inputs: {text: File}"),
    "a directory's listing": (
        {"folder": {"class": "Directory", "basename": "d", "listing": [file_at("GONE")]}},
        "inputs: {folder: Directory}",
    ),
    "a directory itself": ({"folder": {"class": "Directory", "location": "GONE"}}, "inputs: {folder: Directory}"),
    "a default": ({}, "inputs: {text: {type: File, default: {class: File, location: GONE}}}"),
    "the initial work directory": (
        {},
        "inputs: {}\nrequirements: {InitialWorkDirRequirement: {listing: [{class: File, location: GONE}]}}",
    ),
    "an include": ({}, "inputs: {}\ndoc: {$include: GONE}"),
    "an import": ({}, "inputs: {text: {$import: GONE}}"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_missing_file_in_any_place_ends_the_run(
    harness: LocalHarness, server: FileServer, tmp_path: Path, place: str
) -> None:
    params, declarations = PLACES[place]
    gone, main = server.address("/gone.txt"), server.serve("/main.txt", Answer(body=b"main"))
    tool = tmp_path / "tool.cwl"
    text = f"cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\n{declarations}\noutputs: {{}}\n"
    tool.write_text(text.replace("GONE", gone))
    submission = harness.of("", _replaced(params, {"GONE": gone, "MAIN": main}), url=tool.as_uri())

    report, details = run(harness, submission, RunState.EXECUTOR_ERROR)

    assert gone in report.message
    assert list(details.tasks) == []


def _replaced(value: object, names: dict[str, str]) -> object:
    if isinstance(value, dict):
        return {key: _replaced(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


def test_a_container_image_that_is_not_found_is_not_loaded(
    harness: LocalHarness, server: FileServer, tmp_path: Path
) -> None:
    url = server.address("/image.tar")
    tool = tmp_path / "tool.cwl"
    tool.write_text(
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: {}\noutputs: {}\n"
        f"requirements: {{DockerRequirement: {{dockerLoad: '{url}', dockerImageId: image}}}}\n"
    )

    report, _ = run(harness, harness.of("", url=tool.as_uri(), engine={"container": "docker"}), RunState.EXECUTOR_ERROR)

    assert f"cannot fetch {url}, because the server answered 404 (Not Found)" in report.message


def test_an_output_that_an_expression_names_is_checked_too(
    harness: LocalHarness, server: FileServer, tmp_path: Path
) -> None:
    tool = tmp_path / "tool.cwl"
    tool.write_text(
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [echo, "
        f'\'{{"made": {{"class": "File", "location": "{server.address("/gone.txt")}"}}}}\']\n'
        "stdout: cwl.output.json\ninputs: {}\noutputs: {made: File}\n"
    )

    report, details = run(harness, harness.of("", url=tool.as_uri()), RunState.EXECUTOR_ERROR)

    assert server.address("/gone.txt") in report.message
    assert "made" not in {name for name, value in details.outputs.items() if value}


@pytest.mark.parametrize("place", ["the workflow", "a step's tool", "an attachment"])
def test_an_html_page_in_the_place_of_a_document_is_called_one(
    harness: LocalHarness, server: FileServer, place: str
) -> None:
    page = server.serve("/page.cwl", HTML)
    workflow = (CWL / "two_steps.cwl").read_text().replace("run: echo.cwl", f"run: {page}")
    submission = {
        "the workflow": harness.of("", url=page),
        "a step's tool": harness.of(
            "",
            {"message": "x"},
            url="flow.cwl",
            attachments=[
                Attachment(name="flow.cwl", content=workflow.encode()),
                Attachment(name="shout.cwl", content=(CWL / "shout.cwl").read_bytes()),
            ],
        ),
        "an attachment": harness.of("", url="page.cwl", attachments=[Attachment(name="page.cwl", content=HTML.body)]),
    }[place]

    report, _ = run(harness, submission, RunState.EXECUTOR_ERROR)

    assert "page.cwl is an HTML page and not a CWL document" in " ".join(report.message.split())


def test_an_html_page_that_a_document_includes_is_text(
    harness: LocalHarness, server: FileServer, tmp_path: Path
) -> None:
    tool = tmp_path / "tool.cwl"
    tool.write_text(
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: {}\noutputs: {}\n"
        f"doc: {{$include: {server.serve('/page.html', HTML)}}}\n"
    )

    run(harness, harness.of("", url=tool.as_uri()), RunState.COMPLETE)


def test_a_workflow_that_is_not_found_names_address_and_status(harness: LocalHarness, server: FileServer) -> None:
    url = server.address("/gone.cwl")

    report, _ = run(harness, harness.of("", url=url), RunState.EXECUTOR_ERROR)

    assert f"cannot fetch {url}, because the server answered 404 (Not Found)" in " ".join(report.message.split())


def test_a_workflow_at_a_silent_server_ends_the_run_with_the_reason(harness: LocalHarness, server: FileServer) -> None:
    harness.fetch_timeout = timedelta(milliseconds=200)
    url = server.serve("/main.cwl", SILENT)

    report, _ = run(harness, harness.of("", url=url), RunState.SYSTEM_ERROR)

    assert f"cannot fetch {url}, because no answer came within 0.2 s (3 tries)" in " ".join(report.message.split())
    assert report.provider_status == "exited 75"


def test_a_silent_server_of_schemas_does_not_keep_the_run_and_is_noted(
    harness: LocalHarness, server: FileServer, tmp_path: Path
) -> None:
    harness.fetch_timeout = timedelta(milliseconds=200)
    url = server.serve("/edam.owl", SILENT)
    tool = tmp_path / "tool.cwl"
    tool.write_text(f"{(CWL / 'echo.cwl').read_text()}\n$schemas: [{url}]\n")

    _, details = run(harness, harness.of("", {"message": "hi"}, url=tool.as_uri()), RunState.COMPLETE)

    assert any(f"{url}: no answer came within 0.2 s" in note for note in details.system_logs)


def test_a_silent_server_of_schemas_does_not_excuse_an_invalid_document(
    harness: LocalHarness, server: FileServer, tmp_path: Path
) -> None:
    harness.fetch_timeout = timedelta(milliseconds=200)
    tool = tmp_path / "tool.cwl"
    url = server.serve("/edam.owl", SILENT)
    tool.write_text(f"{(CWL / 'invalid.cwl').read_text()}\n$schemas: [{url}]\n")

    run(harness, harness.of("", url=tool.as_uri()), RunState.EXECUTOR_ERROR)
