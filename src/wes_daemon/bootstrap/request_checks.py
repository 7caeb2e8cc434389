"""Checks a request by the rules of its provider, without a call, before it is queued."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from wes_daemon.application.ports.errors import ProviderError
from wes_daemon.application.ports.providers import Submission
from wes_daemon.application.runtime.guard import guarded
from wes_daemon.bootstrap.provider_settings import ProviderInstance
from wes_daemon.bootstrap.settings import Settings
from wes_daemon.domain.runs import Attachment, IdempotencyKey, ProviderType, RunId, WorkflowRequest

_NO_ID = RunId("00000000-0000-0000-0000-000000000000")


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

        A provider that is not known here is not checked.

        Raises:
            Rejected: it does; the message says what fixes it.
        """
        instance = self._settings.providers.get(provider)
        if instance and (plugin := instance.plugin):
            check = partial(plugin.check_request, instance.settings, _submission(request, tags, attachments))
            guarded(check, otherwise=lambda _: None, during="check", of=provider)

    def takers(self, request: WorkflowRequest, attachments: Sequence[Attachment]) -> Sequence[ProviderType]:
        """Return the providers whose workflows `workflow_url` can name, whatever their settings are."""
        submission = _submission(replace(request, workflow_engine_parameters={}), {}, attachments)
        return [name for name, each in self._settings.providers.items() if _takes(each, submission)]


def _takes(instance: ProviderInstance, submission: Submission) -> bool:
    plugin = instance.plugin
    if plugin is None:
        return False
    takes = partial(plugin.takes_workflow, instance.settings, submission)
    try:
        return guarded(takes, otherwise=lambda _: False, during="check", of=instance.name)
    except ProviderError:
        return False


def _submission(request: WorkflowRequest, tags: Mapping[str, object], attachments: Sequence[Attachment]) -> Submission:
    return Submission(
        key=IdempotencyKey(f"wes-{_NO_ID}"), run_id=_NO_ID, request=request, tags=tags, attachments=attachments
    )
