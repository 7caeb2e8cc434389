"""Settings for one Seven Bridges platform and credential, and the credentials file of the vendor's own tools."""

import re
from collections.abc import Callable, Mapping
from configparser import ConfigParser, Error
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from wes_daemon.application.ports.errors import Misconfigured

CREDENTIALS = Path("~/.sevenbridges/credentials")

# Source: the vendor's WES documentation of each environment. The DRS hosts of the US, EU and China platforms are not
# documented, so files on these platforms get no DRS address.
_DRS_HOSTS: Mapping[str, str] = {
    "cgc-api.sbgenomics.com": "cgc-ga4gh-api.sbgenomics.com",
    "cavatica-api.sbgenomics.com": "cavatica-ga4gh-api.sbgenomics.com",
    "api.sb.biodatacatalyst.nhlbi.nih.gov": "ga4gh-api.sb.biodatacatalyst.nhlbi.nih.gov",
}

_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SevenBridgesConfig:
    """One endpoint, one token, the default project, and the time limits of calls and searches.

    Attributes:
        endpoint: the API's address, with its `/v2`.
        project: `owner/project`, for runs that name no project.
        connect_timeout, read_timeout: of each call.
        look_back: the age of the oldest task that is searched when a task of an earlier attempt may exist.
        listing_lag: how long a new task may be missing from listings; not documented by the service.
        connections: the maximum number of simultaneous calls.
        read_token: reads the token again from where it is kept; None if it cannot change while the process runs. It
            raises `Misconfigured` if the token cannot be read.
        drs_host: the host of the platform's DRS addresses; by default derived from the endpoint, if it is documented.
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
    read_token: Callable[[], str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The HTTP library's error about a header that cannot be sent quotes the header in full.
        if not _TOKEN.fullmatch(self.token):
            raise Misconfigured(
                "the Seven Bridges token is empty, or contains blanks or characters that no token contains: "
                "copy it again from the Developer tab of the platform's web site"
            )

    @property
    def host(self) -> str:
        """The endpoint's host name."""
        return urlsplit(self.endpoint).hostname or ""

    @property
    def known_drs_host(self) -> str | None:
        """The host of the platform's DRS addresses; None if it is neither configured nor documented."""
        return self.drs_host or _DRS_HOSTS.get(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One section of the credentials file: a platform and a token for it."""

    endpoint: str
    token: str = field(repr=False)


def read_profile(name: str, path: Path = CREDENTIALS) -> Profile:
    """Read `api_endpoint` and `auth_token` from the section `name` of the credentials file.

    Raises:
        Misconfigured: the file or the section is missing or incomplete; the message never contains the token.
    """
    # A token may contain a percent sign.
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {type(error).__name__}") from error
    except Error:
        # The parser's error quotes the line that it cannot read, which may contain the token.
        raise Misconfigured(f"{path} is not a file of [profile] sections with name = value lines") from None
    if not parser.has_section(name):
        raise Misconfigured(f"{path} has no profile [{name}]")
    return Profile(
        endpoint=_value(parser, name, option="api_endpoint", path=path),
        token=_value(parser, name, option="auth_token", path=path),
    )


def _value(parser: ConfigParser, section: str, *, option: str, path: Path) -> str:
    value = parser.get(section, option, fallback="").strip()
    if not value:
        raise Misconfigured(f"{path}: profile [{section}] lacks {option}")
    return value
