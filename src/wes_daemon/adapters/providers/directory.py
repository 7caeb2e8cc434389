"""Providers that are made when they are first asked for."""

import threading
from collections.abc import Callable, Mapping

from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.domain.runs import ProviderType


class LazyProviderDirectory:
    """A `ProviderDirectory` over functions that make a provider, or raise why there is none.

    What was made is kept; a function that raised is called again the next time.
    """

    def __init__(self, makers: Mapping[ProviderType, Callable[[], WorkflowProvider]]) -> None:
        self._makers = makers
        self._made: dict[ProviderType, WorkflowProvider] = {}
        self._lock = threading.Lock()

    def provider(self, type: ProviderType) -> WorkflowProvider:
        """As the port says."""
        with self._lock:
            if type not in self._made:
                self._made[type] = self._make(type)
            return self._made[type]

    def _make(self, type: ProviderType) -> WorkflowProvider:
        maker = self._makers.get(type)
        if maker is None:
            raise Rejected(f"provider {type} does not exist in this version of wes-daemon")
        return maker()
