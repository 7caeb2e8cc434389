"""A task's outputs, in a form that stays true: files by id and drs address, no link that expires."""

from collections.abc import Mapping

from wes_daemon.adapters.providers.sevenbridges.inputs import is_file_id


def outputs(ports: Mapping[str, object], *, drs_host: str | None) -> Mapping[str, object]:
    """The port map as the service has it, with stable addresses for its files; ports without a value are left out.

    Args:
        drs_host: None where the platform's files have no known drs address.
    """
    return {port: _stable(value, drs_host) for port, value in ports.items() if value is not None}


def _stable(value: object, drs_host: str | None) -> object:
    if isinstance(value, list):
        return [_stable(item, drs_host) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = {name: _stable(item, drs_host) for name, item in value.items()}
    return _file(inner, drs_host) if value.get("class") in ("File", "Directory") else inner


def _file(file: Mapping[str, object], drs_host: str | None) -> Mapping[str, object]:
    """`location` may hold a link that was signed for a while, and `dirname` is a path on a worker that is gone."""
    kept = {name: value for name, value in file.items() if name not in ("location", "dirname")}
    id, name = file.get("path"), file.get("name")
    if drs_host and isinstance(id, str) and is_file_id(id):
        kept["location"] = f"drs://{drs_host}/{id}"
    return {"basename": name, **kept} if name and "basename" not in kept else kept
