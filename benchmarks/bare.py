"""The services' SDKs in a loop: the same calls as somebody else has made, and nothing round them."""

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

from benchmarks.clouds import REQUESTS, Asked
from wes_daemon.domain.runs import ProviderType

_REQUEST_TIMEOUT = 60


def replay(type: ProviderType, calls: Sequence[Asked], warming_up: int, threads: int = 1) -> float:
    """The CPU seconds of this process for these calls, after the first of them have been made without being counted.

    Args:
        threads: one makes the calls one after the other; of several, each makes the next one as soon as it can.
    """
    make = _sevenbridges if type is ProviderType.SEVENBRIDGES else _healthomics
    call = make()
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        make_all = pool.map if pool else map
        deque(make_all(call, calls[:warming_up]), maxlen=0)
        begun = time.process_time()
        deque(make_all(call, calls), maxlen=0)
        return time.process_time() - begun


def _sevenbridges() -> Callable[[Asked], object]:
    import sevenbridges

    api = sevenbridges.Api(
        url=os.environ["SEVENBRIDGES_API_ENDPOINT"],
        token=os.environ["SEVENBRIDGES_API_TOKEN"],
        timeout=_REQUEST_TIMEOUT,
    )
    drafts: SimpleQueue[Any] = SimpleQueue()
    numbers = count()
    request = REQUESTS[ProviderType.SEVENBRIDGES]
    wanted = {"project": os.environ["SEVENBRIDGES_PROJECT"], "app": request["workflow_url"]}

    def call(asked: Asked) -> None:
        if asked.operation == "create_task":
            drafts.put(api.tasks.create(name=f"bare-{next(numbers)}", inputs=request["workflow_params"], **wanted))
        elif asked.operation == "run_task":
            drafts.get().run()
        else:
            # By the SDK's own `query` a list would have all fields of each task, which costs many times as much.
            api.get(asked.path, params={name: values[-1] for name, values in asked.params.items()}).json()

    return call


def _healthomics() -> Callable[[Asked], object]:
    import boto3
    from botocore.config import Config

    client: Any = boto3.Session(region_name=os.environ["AWS_REGION"]).client(
        "omics", config=Config(inject_host_prefix=False)
    )
    numbers = count()

    def start() -> None:
        name = f"bare-{next(numbers)}"
        client.start_run(name=name, requestId=name, **_start_run())

    def call(asked: Asked) -> None:
        query = {name: values[-1] for name, values in parse_qs(urlsplit(asked.path).query).items()}
        if asked.operation == "StartRun":
            start()
        elif asked.operation == "ListRuns":
            client.list_runs(**_list_runs(query))
        else:
            raise AssertionError(f"a submission is not expected to call {asked.operation}")

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
