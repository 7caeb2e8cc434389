"""Logs in answers of WES servers: addresses, texts in their place, and the lines that tell why a run failed."""

import pytest

from wes_daemon.adapters.providers.wes.logs import MAX_WORDS, address, shorten, telling_lines, text_in_place

_URL = "https://wes.example.org/ga4gh/wes/v1/runs/run-7"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://logs.example.org/run-7/stderr", "https://logs.example.org/run-7/stderr"),
        ("s3://bucket/run-7/stderr.txt", "s3://bucket/run-7/stderr.txt"),
        ("file:///runs/run-7/stderr", "file:///runs/run-7/stderr"),
        ("../../../../toil/wes/v1/logs/run-7/stderr", "https://wes.example.org/toil/wes/v1/logs/run-7/stderr"),
        ("/logs/run-7/stderr", "https://wes.example.org/logs/run-7/stderr"),
        ("./run-7/stderr", "https://wes.example.org/ga4gh/wes/v1/runs/run-7/stderr"),
        ("", None),
        (None, None),
        (7, None),
        ("Killed", None),
        ("no such file: /data/a.fastq", None),
        ("https://logs.example.org/run-7 is gone", None),
        ("INFO start\nhttps://logs.example.org\n", None),
    ],
)
def test_an_address_is_told_from_a_text(value: object, expected: str | None) -> None:
    assert address(value, _URL) == expected


def test_a_text_in_place_of_an_address_is_kept_as_text() -> None:
    assert text_in_place("INFO start\nno such reads\n", _URL) == "INFO start\nno such reads\n"
    assert text_in_place("/logs/run-7/stderr", _URL) == ""


_CWLTOOL = """\
\x1b[1;30mINFO\x1b[0m /venv/bin/cwltool 3.1
INFO Resolved 'a.cwl' to 'file:///a.cwl'
INFO [job fail] /tmp/x$ sh \\
    -c \\
    'exit 3'
no such reads: lane 7
WARNING [job fail] exited with status: 3
{}
WARNING Final process status is permanentFail
"""
_TOIL = """\
[2026-11-28T15:34:26+0000] [MainThread] [I] [toil.leader] Issued job
[2026-11-28T15:34:26+0000] [MainThread] [W] [toil.leader] Log from job "kind-CWLJob" follows:
=========>
\t[2026-11-28T15:34:26+0000] [MainThread] [I] [cwltool] [job fail] /tmp/x$ sh \\
\t    -c \\
\t    'exit 3'
\tno such reads: lane 7
<=========
[2026-11-28T15:34:30+0000] [MainThread] [I] [toil.leader] Finished toil run with 1 failed jobs.
Log from job "kind-CWLJob" follows:
\tno such reads: lane 7
<=========
"""


@pytest.mark.parametrize("log", [_CWLTOOL, _TOIL], ids=["cwltool", "Toil"])
def test_the_telling_lines_are_those_that_report_no_progress(log: str) -> None:
    lines = telling_lines(log)

    assert "no such reads: lane 7" in lines
    assert lines.count("no such reads") == 1
    assert not [noise for noise in ("INFO", "Issued job", "Finished", "exit 3'", "\x1b", "{}") if noise in lines]


def test_of_a_long_text_the_last_lines_are_kept() -> None:
    text = "\n".join(f"line {number}" for number in range(1000))

    kept = shorten(text)

    assert len(kept) <= MAX_WORDS + 2
    assert kept.startswith("… line")
    assert kept.endswith("line 999")
    assert shorten("short") == "short"
    assert shorten("x" * 3000) == f"… {'x' * MAX_WORDS}"
