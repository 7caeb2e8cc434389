"""The directory of providers, which builds each provider when it is first needed."""

import threading
from collections.abc import Callable, Mapping

from wes_daemon.application.ports.errors import Rejected
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.domain.runs import ProviderType


class LazyProviderDirectory:
    """A `ProviderDirectory` that builds each provider once, at its first use.

    A factory that raises, because its provider cannot be built, is called again at the next use.
    """

    def __init__(self, factories: Mapping[ProviderType, Callable[[], WorkflowProvider]]) -> None:
        self._factories = factories
        self._providers: dict[ProviderType, WorkflowProvider] = {}
        self._lock = threading.Lock()

    def provider(self, type: ProviderType) -> WorkflowProvider:
        with self._lock:
            if type not in self._providers:
                self._providers[type] = self._build(type)
            return self._providers[type]

    def _build(self, type: ProviderType) -> WorkflowProvider:
        factory = self._factories.get(type)
        if factory is None:
            raise Rejected(f"provider {type} does not exist in this version of wes-daemon")
        return factory()
