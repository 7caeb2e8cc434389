"""The services' SDKs alone: the recorded calls of wes-daemon, repeated without wes-daemon."""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import count
from queue import SimpleQueue
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.clouds import REQUESTS, RecordedCall
from wes_daemon.domain.runs import ProviderType

_REQUEST_TIMEOUT = 60


def replay(type: ProviderType, calls: Sequence[RecordedCall], warming_up: int, threads: int = 1) -> float:
    """Return the CPU seconds of this process for these calls.

    Args:
        warming_up: how many of the calls are made before the measurement.
        threads: with one, the calls are made one after the other; with several, each makes the next call as soon as
            it can.
    """
    make = _sevenbridges if type == ProviderType.SEVENBRIDGES else _healthomics
    call = make()
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        make_all = pool.map if pool else map
        deque(make_all(call, calls[:warming_up]), maxlen=0)
        begun = time.process_time()
        deque(make_all(call, calls), maxlen=0)
        return time.process_time() - begun


def _sevenbridges() -> Callable[[RecordedCall], object]:
    import sevenbridges

    api = sevenbridges.Api(
        url=os.environ["SEVENBRIDGES_API_ENDPOINT"],
        token=os.environ["SEVENBRIDGES_API_TOKEN"],
        timeout=_REQUEST_TIMEOUT,
    )
    drafts: SimpleQueue[Any] = SimpleQueue()
    numbers = count()
    request = REQUESTS[ProviderType.SEVENBRIDGES]
    place = {"project": os.environ["SEVENBRIDGES_PROJECT"], "app": request["workflow_url"]}

    def call(recorded: RecordedCall) -> None:
        if recorded.operation == "create_task":
            drafts.put(api.tasks.create(name=f"bare-{next(numbers)}", inputs=request["workflow_params"], **place))
        elif recorded.operation == "run_task":
            drafts.get().run()
        else:
            # The SDK's own `query` requests all fields of each task, which costs many times as much.
            api.get(recorded.path, params={name: values[-1] for name, values in recorded.params.items()}).json()

    return call


def _healthomics() -> Callable[[RecordedCall], object]:
    import boto3
    from botocore.config import Config

    client: Any = boto3.Session(region_name=os.environ["AWS_REGION"]).client(
        "omics", config=Config(inject_host_prefix=False)
    )
    numbers = count()

    def start() -> None:
        name = f"bare-{next(numbers)}"
        client.start_run(name=name, requestId=name, **_start_run())

    def call(recorded: RecordedCall) -> None:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(recorded.path).query).items()}
        if recorded.operation == "StartRun":
            start()
        elif recorded.operation == "ListRuns":
            client.list_runs(**_list_runs(query))
        else:
            raise AssertionError(f"a submission is not expected to call {recorded.operation}")

    return call


def _start_run() -> Mapping[str, Any]:
    request = REQUESTS[ProviderType.HEALTHOMICS]
    return {
        "workflowId": str(request["workflow_url"]).removeprefix("omics:"),
        "roleArn": os.environ["AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN"],
        "outputUri": os.environ["AWS_HEALTHOMICS_OUTPUT_URI"],
        "parameters": request["workflow_params"],
    }


def _list_runs(query: Mapping[str, str]) -> Mapping[str, object]:
    return {name: int(value) if name == "maxResults" else value for name, value in query.items()}
