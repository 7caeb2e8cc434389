"""An account at a service, as the live tests see it beside the provider under test."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wes_daemon.application.ports.providers import Submission, WorkflowProvider
from wes_daemon.domain.runs import ProviderRunId, WorkflowRequest
from wes_daemon.domain.states import RunState

FATES = {
    # Half an hour: what no clean-up reaches, because the machine has died, ends by itself.
    RunState.RUNNING: {"seconds": 1_800, "code": 0},
    RunState.COMPLETE: {"seconds": 0, "code": 0},
    RunState.EXECUTOR_ERROR: {"seconds": 0, "code": 3},
}
"""The inputs of the workflow in this folder, by where they lead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A run as the service shows it.

    Attributes:
        key: the mark that it bears.
        was_started: False for what is only prepared.
        is_over: it has ended or is ending: there is nothing to stop or to remove.
    """

    id: str
    key: str
    was_started: bool
    is_over: bool


class Account(ABC):
    """Runs of this session at one service, looked at with the bare SDK; other runs are never told of, nor touched."""

    troubles: tuple[type[Exception], ...]
    """What the SDK raises when the service cannot be asked."""

    prepares: bool
    """Whether the service knows runs that are prepared and not started."""

    @abstractmethod
    def provider(self) -> WorkflowProvider:
        """A new provider as the daemon would have it, which counts its starts."""

    @abstractmethod
    def request(self, fate: RunState) -> WorkflowRequest:
        """A request that leads there."""

    @abstractmethod
    def refused(self) -> WorkflowRequest:
        """A request that the service itself refuses."""

    @abstractmethod
    def submit_in_another_process(self, submission: Submission) -> ProviderRunId:
        """Submit from a process of its own."""

    @abstractmethod
    def runs_of(self, key: str) -> Sequence[LiveRun]:
        """Whatever bears this mark, from the service's list."""

    @abstractmethod
    def unfinished(self) -> Iterator[LiveRun]:
        """Whatever of this session the service lists that is not over."""

    @abstractmethod
    def look(self, id: ProviderRunId) -> LiveRun | None:
        """One run by its id, where it is known and of this session."""

    @abstractmethod
    def stop(self, run: LiveRun) -> None:
        """Cancel the run, or delete it where it is only prepared."""

    def close(self) -> None:
        """Hang up."""
