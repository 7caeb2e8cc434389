"""Addresses of logs."""

import pytest

from wes_daemon.adapters.providers.healthomics import logs


def test_the_console_wants_names_encoded_twice() -> None:
    assert logs.console_url("eu-west-1", logs.task_stream("7", "8")) == (
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
        "#logsV2:log-groups/log-group/$252Faws$252Fomics$252FWorkflowLog/log-events/run$252F7$252Ftask$252F8"
    )


@pytest.mark.parametrize(
    ("region", "host"),
    [("us-gov-west-1", "console.amazonaws-us-gov.com"), ("cn-north-1", "console.amazonaws.cn")],
)
def test_other_partitions_have_other_consoles(region: str, host: str) -> None:
    assert logs.console_url(region, "run/7").startswith(f"https://{region}.{host}/")


@pytest.mark.parametrize(
    "told", ["run/7", "arn:aws:logs:eu-west-1:1:log-group:/aws/omics/WorkflowLog:log-stream:run/7"]
)
def test_a_stream_is_told_by_name_or_by_arn(told: str) -> None:
    assert logs.stream_name(told, otherwise="?") == "run/7"


def test_a_stream_that_is_not_told_has_its_usual_name() -> None:
    assert logs.stream_name(None, otherwise="run/7") == "run/7"
