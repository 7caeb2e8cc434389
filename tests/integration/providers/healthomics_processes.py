"""Functions that a test calls in another process."""

from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.system import SystemClock
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import ProviderRunId


def submit(config: HealthOmicsConfig, submission: Submission) -> ProviderRunId:
    """Submit and return the provider run id."""
    provider = HealthOmicsProvider(config, clock=SystemClock())
    return provider.submit(submission).id
