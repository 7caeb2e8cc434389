"""cwltool with a look at the names of a run's inputs before anything runs; cwltool itself passes over unknown ones.

This module imports cwltool; only the subprocess that runs a workflow may import it.
"""

import difflib
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.executors import JobExecutor, MultithreadedJobExecutor, SingleJobExecutor
from cwltool.process import Process, shortname

_LOGGER = logging.getLogger("cwltool")
_MOST_NAMES = 30

# What a job object may hold beside inputs, with what has ":" or "$" in it: cwl:tool, cwltool:overrides, $namespaces.
_NO_INPUTS = frozenset({"id", "__id"})


def judging_executor(*, parallel: bool) -> JobExecutor:
    """The executor that cwltool would take, behind a look at the names."""
    return JudgingExecutor(MultithreadedJobExecutor() if parallel else SingleJobExecutor())


class JudgingExecutor(JobExecutor):
    """Refuses a job object that names what the process has no input for, else lets `inner` work."""

    def __init__(self, inner: JobExecutor) -> None:
        super().__init__()
        self._inner = inner

    def execute(
        self, process: Process, job_order_object: Any, runtime_context: RuntimeContext, logger: logging.Logger = _LOGGER
    ) -> tuple[Any, str]:
        """As the port of cwltool says; a refusal is in the log."""
        if complaint := misnamed(process.tool["inputs"], job_order_object):
            logger.error(complaint)
            return None, "permanentFail"
        if isinstance(self._inner, MultithreadedJobExecutor):
            # cwltool does so for an executor of its own choice only.
            runtime_context.select_resources = self._inner.select_resources
        return self._inner.execute(process, job_order_object, runtime_context, logger)

    def run_jobs(
        self, process: Process, job_order_object: Any, logger: logging.Logger, runtime_context: RuntimeContext
    ) -> None:
        """As the port of cwltool says."""
        self._inner.run_jobs(process, job_order_object, logger, runtime_context)


def misnamed(inputs: Sequence[Mapping[str, Any]], given: Mapping[str, object]) -> str:
    """What is wrong with the names in a job object, in which defaults stand already; empty when nothing is."""
    names = [shortname(str(one["id"])) for one in inputs]
    unknown = [name for name in given if name not in names and _is_meant_as_input(name)]
    if not unknown:
        return ""
    missing = [name for name, one in zip(names, inputs, strict=True) if given.get(name) is None and _is_required(one)]
    return " ".join(
        [
            *(f"the workflow has no input {name!r}{_suggestion(name, names)}" for name in unknown),
            *(f"Its required input {name!r} is missing." for name in missing),
            f"Its inputs are: {_listed(names)}" if names else "It has no inputs at all",
        ]
    )


def _is_meant_as_input(name: str) -> bool:
    return name not in _NO_INPUTS and not (":" in name or "$" in name)


def _is_required(one: Mapping[str, Any]) -> bool:
    accepted = one["type"] if isinstance(one["type"], list) else [one["type"]]
    return "default" not in one and not {"null", "Any"} & {name for name in accepted if isinstance(name, str)}


def _suggestion(name: str, names: Collection[str]) -> str:
    by_folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else "."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return f"{', '.join(names[:_MOST_NAMES])}{f', and {more} more' if more > 0 else ''}"
