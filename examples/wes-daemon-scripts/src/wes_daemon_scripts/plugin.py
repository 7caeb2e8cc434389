"""The plug-in: its settings, and how the provider is built from them."""

from typing import TYPE_CHECKING

from pydantic import Field

from wes_daemon.plugins import (
    Configured,
    Missing,
    NotEnabled,
    ProviderPlugin,
    ProviderSettings,
    ProviderTools,
    ProviderTraits,
    ProviderType,
    Submission,
)
from wes_daemon.plugins.setting_types import LocalPath

if TYPE_CHECKING:
    from wes_daemon_scripts.provider import ScriptsProvider


class ScriptsSettings(ProviderSettings):
    """The settings of the provider."""

    directory: LocalPath | None = Field(
        None, validation_alias="SCRIPTS_DIRECTORY", description="Directory of the scripts that runs may name."
    )
    workdir: LocalPath | None = Field(
        None, validation_alias="SCRIPTS_WORKDIR", description="Directory of the runs, on a local file system."
    )


class ScriptsPlugin(ProviderPlugin[ScriptsSettings]):
    """Shell scripts from a directory."""

    contract = 1
    name = ProviderType("scripts")
    traits = ProviderTraits(title="the provider of scripts")
    settings = ScriptsSettings

    def is_configured(self, settings: ScriptsSettings) -> Configured | Missing:
        given = {"SCRIPTS_DIRECTORY": settings.directory, "SCRIPTS_WORKDIR": settings.workdir}
        missing = [name for name, value in given.items() if value is None]
        if missing:
            return Missing(settings=missing, is_partial=len(missing) < len(given))
        return Configured(target=str(settings.directory))

    def build(self, settings: ScriptsSettings, tools: ProviderTools) -> "ScriptsProvider":
        from wes_daemon_scripts.provider import ScriptsProvider

        if settings.directory is None or settings.workdir is None:
            raise NotEnabled(f"{self.traits.title}: {self.is_configured(settings)}")
        return ScriptsProvider(settings.directory, settings.workdir, clock=tools.clock)

    def check_request(self, settings: ScriptsSettings, submission: Submission) -> None:
        from wes_daemon_scripts.provider import find_script, params_of, script_name

        name, _ = script_name(submission), params_of(submission)
        if settings.directory is not None:
            find_script(name, settings.directory)
