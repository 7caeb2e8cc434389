"""The plug-in of the local provider: its settings, and how the provider is built from them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from wes_daemon.application.ports.errors import Misconfigured, NotEnabled
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import ProviderType
from wes_daemon.plugins import (
    Configured,
    Examination,
    Missing,
    ProviderPlugin,
    ProviderSettings,
    ProviderTools,
    ProviderTraits,
)
from wes_daemon.plugins.setting_types import LocalPath, Seconds

if TYPE_CHECKING:
    from wes_daemon.adapters.providers.local.provider import LocalProvider


class LocalSettings(ProviderSettings):
    """The settings of the provider that runs CWL on the daemon's machine."""

    workdir: LocalPath | None = Field(
        None,
        validation_alias="DAEMON_LOCAL_WORKDIR",
        description="Directory of the local provider's runs; the local provider is off while this is not set.",
    )
    fetch_timeout: Seconds = Field(
        60,
        validate_default=True,
        validation_alias="DAEMON_LOCAL_FETCH_TIMEOUT",
        description="Seconds for which a local run waits for a server that sends nothing, when it fetches a document "
        "or an input file.",
    )


class LocalPlugin(ProviderPlugin[LocalSettings]):
    """CWL on the daemon's machine."""

    contract = 1
    name = ProviderType.LOCAL
    traits = ProviderTraits(
        title="the local provider",
        engines=("cwltool",),
        runs_here=True,
        try_out={"DAEMON_LOCAL_WORKDIR": '"$PWD/local-runs"'},
    )
    settings = LocalSettings

    def is_configured(self, settings: LocalSettings) -> Configured | Missing:
        if settings.workdir is None:
            return Missing(
                settings=("DAEMON_LOCAL_WORKDIR",),
                is_partial=bool(settings.model_fields_set),
                advice="a directory there lets everyone who can queue a run execute commands on the daemon's machine",
            )
        return Configured(target=str(settings.workdir))

    def build(self, settings: LocalSettings, tools: ProviderTools) -> "LocalProvider":
        from wes_daemon.adapters.providers.local.provider import LocalProvider

        if settings.workdir is None:
            raise NotEnabled(f"{self.traits.title}: {self.is_configured(settings)}")
        return LocalProvider(settings.workdir, clock=tools.clock, fetch_timeout=settings.fetch_timeout)

    def examine(self, settings: LocalSettings, tools: ProviderTools) -> Iterable[Examination]:
        from wes_daemon.adapters.providers.local.provider import require_modules

        subject = "cwltool is installed"
        try:
            require_modules()
        except Misconfigured as error:
            yield Examination(subject=subject, problem=str(error))
        else:
            yield Examination(subject=subject)
        yield from super().examine(settings, tools)

    def check_request(self, settings: LocalSettings, submission: Submission) -> None:
        from wes_daemon.adapters.providers.local.plan import make_plan

        del settings
        make_plan(submission)
