"""The views over the tables of the WES service of February 2026, for PostgreSQL."""

from collections.abc import Collection
from importlib.resources import files

SERVICE_VIEWS_COMMAND = "wes-daemon db service-views"


def service_views_sql() -> str:
    """The statements that make the views, which a person executes with `psql`."""
    return files("wes_daemon.adapters.persistence").joinpath("service_views.sql").read_text(encoding="utf-8")


def hint_at_service_views(columns: Collection[str]) -> str:
    """What to do if a table with these columns is one of the service of February 2026; else nothing."""
    if "stdout_url" not in columns or "stdout" in columns:
        return ""
    return f"; this is the WES service of February 2026: `{SERVICE_VIEWS_COMMAND}` prints the views that it needs"
