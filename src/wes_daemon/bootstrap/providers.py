"""The providers of this process: which are enabled, what the others lack, and how each is built."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from socket import gethostname
from typing import Any

from wes_daemon.adapters.providers.directory import LazyProviderDirectory
from wes_daemon.adapters.resilience.call_gate import LeaseCheckedGate, RateLimiter
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.adapters.system import SystemClock, sleep
from wes_daemon.application.ports.call_gate import CallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotEnabled, ProviderError
from wes_daemon.application.ports.events import HintSource
from wes_daemon.application.ports.providers import WorkflowProvider
from wes_daemon.application.ports.quotas import SharedQuotas
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.application.runtime.event_log import log_event
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.bootstrap.policies import provider_connections, request_timeouts
from wes_daemon.bootstrap.provider_settings import ProviderInstance
from wes_daemon.bootstrap.settings import Settings
from wes_daemon.domain.runs import ProviderType
from wes_daemon.plugins import Examination, ProviderPlugin, ProviderTools
from wes_daemon.plugins.rates import Rate

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFactory:
    """Builds providers with what this process has."""

    settings: Settings
    telemetry: Telemetry
    clock: Clock
    daemon_session: DaemonSession
    quotas: SharedQuotas

    def directory(self) -> LazyProviderDirectory:
        """Return all providers. Each is built at its first use, so that a wrong setting affects only its own runs."""
        instances = self.settings.providers
        return LazyProviderDirectory(
            {name: partial(self.build, each) for name, each in instances.items() if each.is_enabled},
            not_enabled={name: each.problem for name, each in instances.items() if not each.is_enabled},
        )

    def build(self, instance: ProviderInstance) -> WorkflowProvider:
        """Build one enabled provider, with the decorators around it."""
        provider = _plugin(instance).build(instance.settings, self.tools(instance.name))
        return decorated(provider, instance.name, telemetry=self.telemetry, clock=self.clock, sleep=sleep)

    def hints(self) -> Mapping[ProviderType, HintSource]:
        """Return the sources of hints that are configured, by provider."""
        enabled = (each for each in self.settings.providers.values() if each.is_enabled)
        sources = {each.name: self._hints(each) for each in enabled}
        return {name: source for name, source in sources.items() if source is not None}

    def _hints(self, instance: ProviderInstance) -> HintSource | None:
        """Return the source of one provider; without it, which the log says, its runs are only polled."""
        make = partial(_plugin(instance).hints, instance.settings, self.tools(instance.name))
        try:
            return guarded(make, otherwise=lambda _: None, during="hints", of=instance.name)
        except ProviderError as error:
            log_event(_log, logging.ERROR, "events.unavailable", source=instance.name, reason=error)
            return None

    def tools(self, name: ProviderType) -> ProviderTools:
        """Return what the provider of this name gets."""
        timeouts = request_timeouts(self.settings)
        return ProviderTools(
            name=name,
            clock=self.clock,
            connect_timeout=timeouts.connect,
            read_timeout=timeouts.read,
            connections=provider_connections(self.settings),
            make_gate=partial(self._gate, name),
        )

    def _gate(self, name: ProviderType, rates: Mapping[str, Rate], account: str) -> CallGate:
        limiter = RateLimiter(rates, quotas=self.quotas, account=account, clock=self.clock, sleep=sleep, provider=name)
        return LeaseCheckedGate(
            limiter,
            require_lease=self.daemon_session.require_lease,
            longest_request=request_timeouts(self.settings).total,
        )


def examine(instance: ProviderInstance, settings: Settings) -> Iterable[Examination]:
    """Check an enabled provider with requests that change nothing, without a database and its quotas."""
    timeouts = request_timeouts(settings)
    tools = ProviderTools(
        name=instance.name, clock=SystemClock(), connect_timeout=timeouts.connect, read_timeout=timeouts.read
    )
    return guarded(
        lambda: list(_plugin(instance).examine(instance.settings, tools)),
        otherwise=lambda error: [Examination(subject="the plug-in", problem=f"a bug: {type(error).__name__}: {error}")],
        during="examine",
        of=instance.name,
    )


def published_providers(settings: Settings) -> Mapping[ProviderType, str]:
    """Return what the daemon publishes: each known provider, and what it lacks; an empty text if it is enabled."""
    return {name: _published(each) for name, each in settings.providers.items()}


def _published(instance: ProviderInstance) -> str:
    """Return what an instance lacks. The error of a plug-in may hold a secret, which other daemons would not hide."""
    if instance.is_enabled:
        return ""
    is_broken = instance.installed is not None and instance.plugin is None
    return (
        f"its plug-in is broken on {gethostname()}: see `wes-daemon providers` there" if is_broken else instance.problem
    )


def _plugin(instance: ProviderInstance) -> ProviderPlugin[Any]:
    if instance.plugin is None:
        raise NotEnabled(f"provider {instance.name} is not enabled here: {instance.problem}")
    return instance.plugin
