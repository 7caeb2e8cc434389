"""Builds the providers from the settings, each at its first use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from wes_daemon.adapters.providers.directory import LazyProviderDirectory
from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.providers.local.provider import LocalProvider
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.provider import SevenBridgesProvider
from wes_daemon.adapters.resilience.call_gate import LeaseCheckedGate, RateLimiter, account_name
from wes_daemon.adapters.resilience.rates import Rate
from wes_daemon.adapters.resilience.stack import decorated
from wes_daemon.adapters.system import sleep
from wes_daemon.application.ports.call_gate import ALL_OPERATIONS, CallGate
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import WrongProvider
from wes_daemon.application.ports.providers import ProviderDirectory, WorkflowProvider
from wes_daemon.application.ports.quotas import SharedQuotas
from wes_daemon.application.ports.telemetry import Telemetry
from wes_daemon.application.runtime.daemon_session import DaemonSession
from wes_daemon.bootstrap.policies import provider_connections, request_timeouts
from wes_daemon.bootstrap.settings import Settings
from wes_daemon.domain.runs import ProviderType

# An ARN is arn:partition:service:region:account:resource.
_ACCOUNT_IN_ARN = 4


def provider_directory(
    settings: Settings,
    *,
    telemetry: Telemetry,
    clock: Clock,
    daemon_session: DaemonSession,
    quotas: SharedQuotas,
) -> ProviderDirectory:
    """Return all providers. Each is built at its first use, so that one without settings affects only its own runs."""
    build = _Builder(settings=settings, telemetry=telemetry, clock=clock, daemon_session=daemon_session, quotas=quotas)
    makers: Mapping[ProviderType, Callable[[], WorkflowProvider]] = {
        ProviderType.SEVENBRIDGES: build.sevenbridges,
        ProviderType.HEALTHOMICS: build.healthomics,
        ProviderType.LOCAL: build.local,
    }
    return LazyProviderDirectory(makers)


def healthomics_config(settings: Settings) -> HealthOmicsConfig:
    """Return the configuration of the AWS clients, for HealthOmics and for its event queue."""
    timeouts = request_timeouts(settings)
    return HealthOmicsConfig(
        region=settings.aws_region,
        role_arn=settings.aws_healthomics_workflow_role_arn,
        output_uri=settings.aws_healthomics_output_uri,
        access_key_id=_revealed(settings.aws_access_key_id),
        secret_access_key=_revealed(settings.aws_secret_access_key),
        session_token=_revealed(settings.aws_session_token),
        resend_horizon=settings.aws_healthomics_resend_horizon,
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
        connections=provider_connections(settings),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    settings: Settings
    telemetry: Telemetry
    clock: Clock
    daemon_session: DaemonSession
    quotas: SharedQuotas

    def sevenbridges(self) -> WorkflowProvider:
        credentials, project = self.settings.sevenbridges_credentials, self.settings.sevenbridges_project
        if credentials is None or project is None:
            missing = [
                *([] if credentials else ["SEVENBRIDGES_API_TOKEN"]),
                *([] if project else ["SEVENBRIDGES_PROJECT"]),
            ]
            raise WrongProvider(f"Seven Bridges is not set up here: set {' and '.join(missing)}")
        timeouts = request_timeouts(self.settings)
        config = SevenBridgesConfig(
            endpoint=credentials.endpoint,
            token=credentials.token,
            project=project,
            connect_timeout=timeouts.connect,
            read_timeout=timeouts.read,
            connections=provider_connections(self.settings),
        )
        rate = self.settings.sevenbridges_rate_limit
        gate = self._gate(
            {} if rate is None else {ALL_OPERATIONS: rate},
            account=account_name("sevenbridges", credentials.endpoint, credentials.token),
        )
        return self._decorated(SevenBridgesProvider(config, clock=self.clock, gate=gate), ProviderType.SEVENBRIDGES)

    def healthomics(self) -> WorkflowProvider:
        gate = self._gate(
            self.settings.aws_healthomics_rate_limits,
            account=account_name("healthomics", self.settings.aws_region, _aws_account(self.settings)),
        )
        config = healthomics_config(self.settings)
        return self._decorated(HealthOmicsProvider(config, clock=self.clock, gate=gate), ProviderType.HEALTHOMICS)

    def local(self) -> WorkflowProvider:
        workdir = self.settings.local_workdir
        if workdir is None:
            raise WrongProvider(
                "the local provider is off here: setting DAEMON_LOCAL_WORKDIR to a directory in the daemon's "
                "environment switches it on, and lets everyone who can queue a run execute commands on its machine"
            )
        return self._decorated(LocalProvider(workdir, clock=self.clock), ProviderType.LOCAL)

    def _gate(self, rates: Mapping[str, Rate], *, account: str) -> CallGate:
        limiter = RateLimiter(rates, quotas=self.quotas, account=account, clock=self.clock, sleep=sleep)
        return LeaseCheckedGate(
            limiter,
            require_lease=self.daemon_session.require_lease,
            longest_request=request_timeouts(self.settings).total,
        )

    def _decorated(self, provider: WorkflowProvider, type: ProviderType) -> WorkflowProvider:
        return decorated(provider, type, telemetry=self.telemetry, clock=self.clock, sleep=sleep)


def _aws_account(settings: Settings) -> str:
    """Return an identifier of the AWS account, without a request: the account in the role's ARN, else the access key.

    Access keys are replaced from time to time; the account of the role stays the same.
    """
    role = (settings.aws_healthomics_workflow_role_arn or "").split(":")
    return role[_ACCOUNT_IN_ARN] if len(role) > _ACCOUNT_IN_ARN else _revealed(settings.aws_access_key_id) or ""


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
