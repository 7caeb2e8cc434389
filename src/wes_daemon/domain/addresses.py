"""Workflow URLs and other addresses without their secrets, for logs and messages."""

import re
from collections.abc import Mapping

# Source: RFC 3986, appendix B.
_PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*:)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)
_LOGIN = re.compile(r":.*@", re.DOTALL)
# A fragment with which CWL names one of several processes in a document: `#main`, `#main/align`.
_PROCESS_NAME = re.compile(r"[\w.\-/:]*")
_HIDDEN = "***"
# Engine parameters, and tags in their place, whose value may be a presigned address; in lower case, without `_`.
_PRIVATE_NAMES = frozenset({"parametersuri", "providerparametersuri"})


def public_url(url: str) -> str:
    """Return the URL without possible secrets: `https://***@host/a.cwl?token=***#main`.

    User info and the values in query and fragment are hidden. If another part may contain a password, because the
    password was not percent-encoded, only the scheme is shown.
    """
    parts = _PARTS.fullmatch(url)
    if parts is None:
        return _HIDDEN
    scheme, authority, path = parts["scheme"] or "", parts["authority"], parts["path"]
    if _may_contain_password(scheme, authority, path, url[parts.end("path") :]):
        return _HIDDEN if authority is None else f"{scheme}//{_HIDDEN}"
    shown = f"{scheme}{'' if authority is None else f'//{_without_user(authority)}'}{path}"
    if parts["query"] is not None:
        shown += f"?{'&'.join(map(_without_value, parts['query'].split('&')))}"
    return shown if parts["fragment"] is None else f"{shown}#{_public_fragment(parts['fragment'])}"


def public_values(values: object) -> object:
    """Return engine parameters or tags with the values of private addresses hidden; anything else unchanged."""
    if not isinstance(values, Mapping):
        return values
    return {name: _HIDDEN if _is_private(name) and value else value for name, value in values.items()}


def without_secrets_of(url: str, text: str) -> str:
    """Return the text with the secrets of this URL hidden, even where they occur without the rest of the URL."""
    parts = _PARTS.fullmatch(url)
    if parts is None:
        return text
    user = (parts["authority"] or "").rpartition("@")[0]
    text = text.replace(url, public_url(url))
    text = text.replace(f"{user}@", f"{_HIDDEN}@") if user else text
    return text.replace(f"?{parts['query']}", f"?{_HIDDEN}") if parts["query"] else text


def _is_private(name: object) -> bool:
    return isinstance(name, str) and name.replace("_", "").lower() in _PRIVATE_NAMES


def _may_contain_password(scheme: str, authority: str | None, path: str, rest: str) -> bool:
    if authority is None:
        return _LOGIN.search(f"{scheme}{path}") is not None
    # In `https://user:pass/word@host` the slash in the password ends the authority.
    password_ends_authority = ":" in authority and "@" not in authority and "@" in path + rest
    return password_ends_authority or _LOGIN.search(path) is not None


def _without_user(authority: str) -> str:
    _, at, host = authority.rpartition("@")
    return f"{_HIDDEN}@{host}" if at else host


def _without_value(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}={_HIDDEN}" if equals else _HIDDEN if parameter else ""


def _public_fragment(fragment: str) -> str:
    if _PROCESS_NAME.fullmatch(fragment):
        return fragment
    return "&".join(map(_without_value, fragment.split("&")))
