"""What has to be known to speak to one platform with one credential."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from wes_daemon.application.ports.errors import Misconfigured

# Source: the vendor's WES documentation of each environment; the hosts of the US, EU and China platforms
# are not documented, so files of theirs get no drs address.
_DRS_HOSTS: Mapping[str, str] = {
    "cgc-api.sbgenomics.com": "cgc-ga4gh-api.sbgenomics.com",
    "cavatica-api.sbgenomics.com": "cavatica-ga4gh-api.sbgenomics.com",
    "api.sb.biodatacatalyst.nhlbi.nih.gov": "ga4gh-api.sb.biodatacatalyst.nhlbi.nih.gov",
}

_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SevenBridgesConfig:
    """One endpoint, one token, the project of the runs that name none, and how patient to be.

    Attributes:
        endpoint: the API's address, with its `/v2`.
        project: `owner/project`.
        connect_timeout, read_timeout: of every single call.
        look_back: how far back tasks are searched for one that an earlier attempt left behind.
        listing_lag: how long a new task may be missing from listings; not documented by the service.
        connections: as many calls as may be under way at the same time.
        drs_host: where the platform's files have drs addresses; taken from the endpoint where that is known.
    """

    endpoint: str
    token: str = field(repr=False)
    project: str
    connect_timeout: timedelta = timedelta(seconds=5)
    read_timeout: timedelta = timedelta(seconds=30)
    look_back: timedelta = timedelta(days=7)
    listing_lag: timedelta = timedelta(seconds=30)
    connections: int = 32
    drs_host: str | None = None

    def __post_init__(self) -> None:
        # A header that cannot be sent would be quoted in full by the error of the HTTP library.
        if not _TOKEN.fullmatch(self.token):
            raise Misconfigured(
                "the Seven Bridges token is empty or has blanks or characters that no token has: "
                "copy it again from the Developer tab of the platform's web site"
            )

    @property
    def host(self) -> str:
        """The endpoint's host name."""
        return urlsplit(self.endpoint).hostname or ""

    @property
    def known_drs_host(self) -> str | None:
        """The host of the platform's drs addresses; None where nobody has documented it."""
        return self.drs_host or _DRS_HOSTS.get(self.host)
