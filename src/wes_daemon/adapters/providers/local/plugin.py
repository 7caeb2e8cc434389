"""The plug-in of the local provider: its settings, and how the provider is built from them."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field

from wes_daemon.adapters.providers.local.engines import BUILT_IN, SETTING, ExternalEngine, read_engine, split_command
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


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _names(text: str | None) -> Sequence[str]:
    return [name for part in (text or "").split(",") if (name := part.strip())]


def _variables(value: object) -> object:
    if isinstance(value, str) and (wrong := [name for name in _names(value) if not _NAME.fullmatch(name)]):
        raise ValueError(f"{wrong[0]!r} is no name of a variable: write names with commas between them, such as A,B")
    return value


def _command(value: object) -> object:
    if isinstance(value, str):
        split_command(value)
    return value


def _engine_command(value: object) -> object:
    if isinstance(value, str):
        read_engine(value)
    return value


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
    engine: Annotated[str, BeforeValidator(_engine_command)] = Field(
        BUILT_IN,
        validation_alias=SETTING,
        description="What executes the workflows of local runs: cwltool, or a command that keeps the convention of "
        "cwl-runner, such as toil-cwl-runner --batchSystem slurm.",
    )
    engine_variables: Annotated[str | None, BeforeValidator(_variables)] = Field(
        None,
        validation_alias=f"{SETTING}_VARIABLES",
        description="Variables of the daemon's environment that such a command sees, such as SLURM_CONF,KUBECONFIG.",
    )
    engine_grace: Seconds = Field(
        60,
        validate_default=True,
        validation_alias=f"{SETTING}_GRACE",
        description="Seconds that such a command has after SIGTERM to end its jobs, before it is killed.",
    )
    engine_cancel_jobs: Annotated[str | None, BeforeValidator(_command)] = Field(
        None,
        validation_alias=f"{SETTING}_CANCEL_JOBS",
        description="Command, such as scancel, that ends the jobs that a killed engine has left; their ids follow it.",
    )

    @property
    def external_engine(self) -> ExternalEngine | None:
        """The engine, or `None` for the built-in one."""
        return read_engine(
            self.engine,
            variables=_names(self.engine_variables),
            grace=self.engine_grace,
            cancel_jobs=self.engine_cancel_jobs or "",
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
        return LocalProvider(
            settings.workdir,
            clock=tools.clock,
            fetch_timeout=settings.fetch_timeout,
            engine=settings.external_engine,
        )

    def examine(self, settings: LocalSettings, tools: ProviderTools) -> Iterable[Examination]:
        from wes_daemon.adapters.providers.local.provider import require_engine

        engine = settings.external_engine
        subject = f"{engine.name if engine else BUILT_IN} is installed"
        try:
            require_engine(engine)
        except Misconfigured as error:
            yield Examination(subject=subject, problem=str(error))
        else:
            yield Examination(subject=subject)
        yield from super().examine(settings, tools)

    def check_request(self, settings: LocalSettings, submission: Submission) -> None:
        from wes_daemon.adapters.providers.local.plan import make_plan

        make_plan(submission, engine=settings.external_engine)
