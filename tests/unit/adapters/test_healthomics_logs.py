"""Addresses and names of log streams."""

import pytest

from wes_daemon.adapters.providers.healthomics.details import console_url, stream_name, task_stream


def test_the_console_needs_names_encoded_twice() -> None:
    assert console_url("eu-west-1", task_stream("7", "8")) == (
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
        "#logsV2:log-groups/log-group/$252Faws$252Fomics$252FWorkflowLog/log-events/run$252F7$252Ftask$252F8"
    )


@pytest.mark.parametrize(
    ("region", "host"),
    [("us-gov-west-1", "console.amazonaws-us-gov.com"), ("cn-north-1", "console.amazonaws.cn")],
)
def test_other_partitions_have_other_consoles(region: str, host: str) -> None:
    assert console_url(region, "run/7").startswith(f"https://{region}.{host}/")


@pytest.mark.parametrize(
    "reported", ["run/7", "arn:aws:logs:eu-west-1:1:log-group:/aws/omics/WorkflowLog:log-stream:run/7"]
)
def test_a_stream_is_reported_by_name_or_by_arn(reported: str) -> None:
    assert stream_name(reported, default="?") == "run/7"


def test_a_stream_that_is_not_reported_has_its_default_name() -> None:
    assert stream_name(None, default="run/7") == "run/7"
