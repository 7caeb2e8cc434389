"""Names of accounts at services."""

from hashlib import sha256

SERVICE_END = ":"
"""Separates the service's name from the rest."""


def account_name(service: str, *identity: str) -> str:
    """Name an account at a service, for the names of its quotas; `identity` may contain secrets, which are hashed."""
    return f"{service}{SERVICE_END}{sha256(chr(0).join(identity).encode()).hexdigest()[:16]}"
