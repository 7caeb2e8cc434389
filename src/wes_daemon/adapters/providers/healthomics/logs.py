"""Where the logs of a run and of its tasks can be read: CloudWatch's console, and the names of the streams."""

from urllib.parse import quote

GROUP = "/aws/omics/WorkflowLog"

# By the partition that a region's name tells.
_CONSOLES = {"cn": "console.amazonaws.cn", "us-gov": "console.amazonaws-us-gov.com"}
_STREAM_IN_ARN = ":log-stream:"


def run_stream(run_id: str) -> str:
    """What the engine says while the run lasts."""
    return f"run/{run_id}"


def engine_stream(run_id: str) -> str:
    """The engine's own log, which failed runs leave."""
    return f"run/{run_id}/engine"


def task_stream(run_id: str, task_id: str) -> str:
    """What a task wrote, stdout and stderr together."""
    return f"run/{run_id}/task/{task_id}"


def manifest_stream(run_id: str, uuid: str) -> str:
    """All that was known of the run at its end; it outlives the run's record."""
    return f"manifest/run/{run_id}/{uuid}"


def stream_name(told: str | None, *, otherwise: str) -> str:
    """The stream's name, where the service told one: by itself or at the end of an ARN."""
    return told.rpartition(_STREAM_IN_ARN)[2] if told else otherwise


def console_url(region: str, stream: str) -> str:
    """The stream's page in the console."""
    console = next((host for prefix, host in _CONSOLES.items() if region.startswith(prefix)), "console.aws.amazon.com")
    path = f"log-groups/log-group/{_escaped(GROUP)}/log-events/{_escaped(stream)}"
    return f"https://{region}.{console}/cloudwatch/home?region={region}#logsV2:{path}"


def _escaped(name: str) -> str:
    """As the console writes names behind the `#`: encoded twice, with `$` in place of the second `%`."""
    return quote(quote(name, safe=""), safe="").replace("%", "$")
