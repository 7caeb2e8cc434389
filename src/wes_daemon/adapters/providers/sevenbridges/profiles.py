"""The credentials file that the vendor's own tools use."""

from configparser import ConfigParser, Error
from dataclasses import dataclass, field
from pathlib import Path

from wes_daemon.application.ports.errors import Misconfigured

CREDENTIALS = Path("~/.sevenbridges/credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One section of the file: a platform and a token of it."""

    endpoint: str
    token: str = field(repr=False)


def read_profile(name: str, path: Path = CREDENTIALS) -> Profile:
    """The section of that name, with `api_endpoint` and `auth_token`.

    Raises:
        Misconfigured: the file or the section is missing or incomplete; says what would mend it, never the token.
    """
    # Tokens may have a percent sign.
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {type(error).__name__}") from error
    except Error:
        # The parser quotes the line that it cannot read, and that may be the token's.
        raise Misconfigured(f"{path} is no file of [profile] sections with name = value lines") from None
    if not parser.has_section(name):
        raise Misconfigured(f"{path} has no profile [{name}]")
    return Profile(endpoint=_value(parser, name, "api_endpoint", path), token=_value(parser, name, "auth_token", path))


def _value(parser: ConfigParser, section: str, option: str, path: Path) -> str:
    found = parser.get(section, option, fallback="").strip()
    if not found:
        raise Misconfigured(f"{path}: profile [{section}] lacks {option}")
    return found
