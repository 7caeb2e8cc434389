"""Workflow URLs without their secrets, for logs and messages."""

import re

# Source: RFC 3986, appendix B.
_PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*:)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)
_LOGIN = re.compile(r":.*@", re.DOTALL)
# As CWL names one of several processes in a document: `#main`, `#main/align`.
_NAME = re.compile(r"[\w.\-/:]*")
_HIDDEN = "***"


def public_url(url: str) -> str:
    """Return the URL without possible secrets: `https://***@host/a.cwl?token=***#main`.

    User info and the values in query and fragment are hidden. If a password may stand elsewhere because it was not
    percent-encoded, only the scheme is left.
    """
    found = _PARTS.fullmatch(url)
    if found is None:
        return _HIDDEN
    scheme, authority, path = found["scheme"] or "", found["authority"], found["path"]
    if _may_hide_a_password(scheme, authority, path, url[found.end("path") :]):
        return _HIDDEN if authority is None else f"{scheme}//{_HIDDEN}"
    shown = f"{scheme}{'' if authority is None else f'//{_without_user(authority)}'}{path}"
    if found["query"] is not None:
        shown += f"?{'&'.join(map(_without_value, found['query'].split('&')))}"
    return shown if found["fragment"] is None else f"{shown}#{_public_fragment(found['fragment'])}"


def without_secrets_of(url: str, text: str) -> str:
    """Return the text with the secrets of this URL hidden wherever they stand, also apart from the rest of the URL."""
    found = _PARTS.fullmatch(url)
    if found is None:
        return text
    user = (found["authority"] or "").rpartition("@")[0]
    text = text.replace(url, public_url(url))
    text = text.replace(f"{user}@", f"{_HIDDEN}@") if user else text
    return text.replace(f"?{found['query']}", f"?{_HIDDEN}") if found["query"] else text


def _may_hide_a_password(scheme: str, authority: str | None, path: str, rest: str) -> bool:
    if authority is None:
        return _LOGIN.search(f"{scheme}{path}") is not None
    # In `https://user:pass/word@host` the password contains a slash and so ends the authority.
    has_broken_off = ":" in authority and "@" not in authority and "@" in path + rest
    return has_broken_off or _LOGIN.search(path) is not None


def _without_user(authority: str) -> str:
    _, at, host = authority.rpartition("@")
    return f"{_HIDDEN}@{host}" if at else host


def _without_value(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}={_HIDDEN}" if equals else _HIDDEN if parameter else ""


def _public_fragment(fragment: str) -> str:
    if _NAME.fullmatch(fragment):
        return fragment
    return "&".join(map(_without_value, fragment.split("&")))
