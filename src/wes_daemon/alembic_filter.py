"""Keeps Alembic's autogenerate of a WES service from dropping what the daemon has added to the same database.

The service's `env.py` imports it, so that it needs the standard library only.
"""

TABLES = frozenset(
    {
        "daemons",
        "late_updates",
        "polls",
        "provider_budgets",
        "provider_looks",
        "run_attachments",
        "run_details",
        "run_events",
        "submissions",
        "unserved_providers",
        "wes_daemon_alembic_version",
    }
)
"""The tables of the daemon."""

INDEX_PREFIX = "wes_daemon_"
"""How the names of the daemon's indexes on the tables of the service begin."""


def include_object(object: object, name: str | None, type_: str, reflected: bool, compare_to: object) -> bool:
    """Return whether autogenerate compares this object: Alembic's argument `include_object`.

    Objects that the service's own models declare are compared, under whatever name.
    """
    del object
    if not reflected or compare_to is not None or name is None:
        return True
    return name not in TABLES if type_ == "table" else not name.startswith(INDEX_PREFIX)
