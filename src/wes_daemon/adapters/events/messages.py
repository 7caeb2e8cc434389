"""What a message from EventBridge says, whoever has sent it.

Source of the form: AWS' EventBridge events reference, `aws.omics`. Events of 2023 had neither `uuid` nor `runId` in
their detail, so each may be missing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from wes_daemon.adapters.providers.healthomics.identity import RunIdentity
from wes_daemon.application.ports.events import Message, Receipt, Subject
from wes_daemon.domain.runs import ProviderRunId

_SOURCE = "aws.omics"
_KIND = "Run Status Change"
_RUN_ARN = re.compile(r"arn:[\w-]+:omics:[\w-]*:[0-9]*:run/(?P<id>[0-9]{1,18})", re.ASCII)


def read_message(receipt: Receipt, body: str) -> Message:
    """What the body says. None is refused: what cannot be read is told to be so."""
    try:
        event = _event_in(json.loads(body))
    # A body that is nested a thousand times over is no event either.
    except (ValueError, RecursionError):
        return _unreadable(receipt, "it is no JSON")
    if event is None:
        return _unreadable(receipt, "it is no JSON object")
    if event.get("source") != _SOURCE or event.get("detail-type") != _KIND:
        return Message(receipt=receipt, subject=Subject.OTHER)
    ids = frozenset(_ids_in(event))
    if not ids:
        return _unreadable(receipt, f"a {_KIND} of {_SOURCE} names no run")
    return Message(receipt=receipt, subject=Subject.RUN, ids=ids)


def _unreadable(receipt: Receipt, problem: str) -> Message:
    return Message(receipt=receipt, subject=Subject.UNREADABLE, problem=problem)


def _event_in(body: object) -> Mapping[str, Any] | None:
    """The event itself, also where a topic of SNS has passed it on in a wrapping of its own."""
    if not isinstance(body, Mapping):
        return None
    if body.get("Type") != "Notification" or "source" in body:
        return body
    inner = json.loads(body["Message"]) if isinstance(body.get("Message"), str) else None
    return inner if isinstance(inner, Mapping) else None


def _ids_in(event: Mapping[str, Any]) -> Iterator[ProviderRunId]:
    """With the UUID, as the daemon keeps ids, and without, as a row may hold one that something else has written.

    The ids in ARN and detail differ in AWS' own sample. A name too many does no harm: the run is asked for once more.
    """
    detail = event.get("detail")
    known = detail if isinstance(detail, Mapping) else {}
    for id in {*_ids_of_arns(event, known), *_as_text(known.get("runId"))}:
        for uuid in (*_as_text(known.get("uuid")), None):
            identity = RunIdentity(id, uuid)
            if RunIdentity.parse(identity.provider_run_id) == identity:
                yield identity.provider_run_id


def _ids_of_arns(event: Mapping[str, Any], detail: Mapping[str, Any]) -> Iterator[str]:
    resources = event.get("resources")
    for arn in (detail.get("arn"), *(resources if isinstance(resources, list) else ())):
        if isinstance(arn, str) and (found := _RUN_ARN.fullmatch(arn)):
            yield found["id"]


def _as_text(value: object) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
