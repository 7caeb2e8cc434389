"""The directory of providers, which builds each provider when it is first needed."""

import threading
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from wes_daemon.application.ports.errors import NotEnabled
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.domain.runs import ProviderType

_NONE: Mapping[ProviderType, str] = MappingProxyType({})


class LazyProviderDirectory:
    """A `ProviderDirectory` that builds each provider once, at its first use.

    A factory that raises, because its provider cannot be built, is called again at the next use.
    """

    def __init__(
        self,
        factories: Mapping[ProviderType, Callable[[], WorkflowProvider]],
        *,
        not_enabled: Mapping[ProviderType, str] = _NONE,
    ) -> None:
        """Build nothing yet.

        Args:
            factories: of the providers that are enabled.
            not_enabled: the other known providers, and what each lacks, as a sentence.
        """
        self._factories = factories
        self._not_enabled = not_enabled
        self._providers: dict[ProviderType, WorkflowProvider] = {}
        self._lock = threading.Lock()

    @property
    def enabled(self) -> Collection[ProviderType]:
        return self._factories.keys()

    @property
    def known(self) -> Collection[ProviderType]:
        return {**self._factories, **self._not_enabled}.keys()

    def provider(self, type: ProviderType) -> WorkflowProvider:
        with self._lock:
            if type not in self._providers:
                self._providers[type] = self._build(type)
            return self._providers[type]

    def _build(self, type: ProviderType) -> WorkflowProvider:
        factory = self._factories.get(type)
        if factory is None:
            missing = f"no plug-in for it is installed here; known are {', '.join(sorted(self.known))}"
            raise NotEnabled(f"provider {type} is not enabled here: {self._not_enabled.get(type, missing)}")
        return factory()
