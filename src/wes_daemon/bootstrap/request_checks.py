"""Checks a request by the rules of its provider, without a call, before it is queued."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from wes_daemon.adapters.providers.healthomics.start_request import parse_workflow_url, start_run_request
from wes_daemon.adapters.providers.local.plan import make_plan
from wes_daemon.adapters.providers.sevenbridges.config import SevenBridgesConfig
from wes_daemon.adapters.providers.sevenbridges.task_request import read_task_request
from wes_daemon.application.ports.errors import Misconfigured, Rejected
from wes_daemon.application.ports.providers import Submission
from wes_daemon.bootstrap.providers import healthomics_config
from wes_daemon.bootstrap.settings import Settings
from wes_daemon.domain.runs import Attachment, IdempotencyKey, ProviderType, RunId, WorkflowRequest

_NO_ID = RunId("00000000-0000-0000-0000-000000000000")
# In place of settings that are missing here: the daemon may have them, and no call is made.
_NO_TOKEN = "0" * 32
_NO_PROJECT = "owner/project"


class RequestChecks:
    """The rules of all providers, as far as they need no call and no credentials."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check(
        self,
        request: WorkflowRequest,
        *,
        tags: Mapping[str, object],
        attachments: Sequence[Attachment],
        provider: ProviderType,
    ) -> None:
        """Check that the provider, with the settings here, does not refuse the request before its first call.

        Raises:
            Rejected: it does; the message says what fixes it.
        """
        submission = Submission(
            key=IdempotencyKey(f"wes-{_NO_ID}"), run_id=_NO_ID, request=request, tags=tags, attachments=attachments
        )
        checks: Mapping[ProviderType, Callable[[Submission], object]] = {
            ProviderType.SEVENBRIDGES: self._sevenbridges,
            ProviderType.HEALTHOMICS: lambda run: start_run_request(run, healthomics_config(self._settings)),
            ProviderType.LOCAL: make_plan,
        }
        checks[provider](submission)

    def takers(self, request: WorkflowRequest, attachments: Sequence[Attachment]) -> Sequence[ProviderType]:
        """Return the providers whose workflows `workflow_url` can name, whatever their settings are."""
        submission = Submission(
            key=IdempotencyKey(f"wes-{_NO_ID}"),
            run_id=_NO_ID,
            request=replace(request, workflow_engine_parameters={}),
            attachments=attachments,
        )
        checks: Mapping[ProviderType, Callable[[], object]] = {
            ProviderType.SEVENBRIDGES: lambda: self._sevenbridges(submission),
            ProviderType.HEALTHOMICS: lambda: parse_workflow_url(
                request.workflow_url, region=self._settings.healthomics_region
            ),
            ProviderType.LOCAL: lambda: make_plan(submission),
        }
        return [provider for provider, check in checks.items() if not _is_refused(check)]

    def _sevenbridges(self, submission: Submission) -> object:
        credentials = self._settings.sevenbridges_credentials
        config = SevenBridgesConfig(
            endpoint=credentials.endpoint if credentials else self._settings.sevenbridges_api_endpoint,
            token=_NO_TOKEN,
            project=self._settings.sevenbridges_project or _NO_PROJECT,
        )
        return read_task_request(submission, config)


def _is_refused(check: Callable[[], object]) -> bool:
    try:
        check()
    except (Rejected, Misconfigured):
        return True
    return False
