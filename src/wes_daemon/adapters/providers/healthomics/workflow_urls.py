"""The forms in which a request may name a HealthOmics workflow."""

import re
from dataclasses import dataclass

from wes_daemon.application.ports.errors import Rejected
from wes_daemon.domain.addresses import public_url

FORMS = (
    "1234567, omics:1234567, omics://workflow/1234567, omics://workflow/1234567/version/NAME, "
    "arn:aws:omics:REGION:ACCOUNT:workflow/1234567[/version/NAME] "
    "(ACCOUNT left empty for a Ready2Run workflow, another account's for a shared one)"
)

_WORKFLOW = r"(?P<id>[0-9]{1,18})"
_VERSION = r"(?:/version/(?P<version>[A-Za-z0-9][A-Za-z0-9\-._]{0,63}))?"
_PLAIN = re.compile(rf"(?:omics:)?{_WORKFLOW}", re.ASCII)
_URL = re.compile(rf"omics://workflow/{_WORKFLOW}{_VERSION}", re.ASCII)
_ARN = re.compile(
    rf"arn:aws[a-z\-]*:omics:(?P<region>[a-z0-9\-]+):(?P<account>[0-9]{{12}})?:workflow/{_WORKFLOW}{_VERSION}", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowName:
    """A workflow as its URL names it.

    Attributes:
        version: None means the workflow's default.
        owner: the account in an ARN; None where the URL names none.
        is_ready2run: an ARN without an account names one of the service's own workflows.
    """

    id: str
    version: str | None = None
    owner: str | None = None
    is_ready2run: bool = False


def parse_workflow_url(url: str, *, region: str) -> WorkflowName:
    """The workflow that is meant.

    Raises:
        Rejected: the form is not one of `FORMS`, or the workflow is in another region.
    """
    if found := _PLAIN.fullmatch(url):
        return WorkflowName(id=found["id"])
    if found := _URL.fullmatch(url):
        return WorkflowName(id=found["id"], version=found["version"])
    if found := _ARN.fullmatch(url):
        return _from_arn(found, url, region)
    raise Rejected(f"workflow_url {public_url(url)!r} names no HealthOmics workflow: the forms are {FORMS}")


def _from_arn(found: re.Match[str], url: str, region: str) -> WorkflowName:
    if found["region"] != region:
        raise Rejected(
            f"workflow_url {public_url(url)!r} names a workflow in {found['region']}, "
            f"but runs are started in {region} (AWS_REGION)"
        )
    return WorkflowName(
        id=found["id"], version=found["version"], owner=found["account"], is_ready2run=found["account"] is None
    )
