"""The SQL that makes views over the tables of the WES service of February 2026, for PostgreSQL."""

from importlib.resources import files


def service_views_sql() -> str:
    """The statements, which a person executes with `psql`."""
    return files("wes_daemon.adapters.persistence").joinpath("service_views.sql").read_text(encoding="utf-8")
