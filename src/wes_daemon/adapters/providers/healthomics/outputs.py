"""What a completed run has made: the summary that the engine leaves beside the outputs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from wes_daemon.adapters.providers.healthomics.client import HealthOmicsClient, Refusal
from wes_daemon.application.ports.environment import Clock
from wes_daemon.application.ports.errors import NotNow

# The service's pages name both.
_SUMMARIES = ("logs/outputs.json", "logs/output.json")
_LONGEST_SUMMARY = 8 * 1024 * 1024
_MAY_STILL_COME = timedelta(minutes=2)
_FILES = ("File", "Directory")

LOCATION = "runOutputUri"
"""The output that stands for all of them where there is no summary: the service's own name for the place."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Outputs by name, and what has to be said of them."""

    values: Mapping[str, object]
    notes: tuple[str, ...] = ()


class OutputReader:
    """Reads the outputs of runs that have ended."""

    def __init__(self, client: HealthOmicsClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def __call__(self, run: Mapping[str, Any]) -> Outputs:
        """The outputs of the run that GetRun told of; none while it lasts or when it did not complete.

        Raises:
            NotNow: S3 cannot be asked, or the summary may still come.
        """
        uri = str(run.get("runOutputUri") or "")
        if run.get("status") != "COMPLETED":
            return Outputs({}, (f"outputs, if any: {uri}",) if uri else ())
        if not uri.startswith("s3://"):
            return Outputs({}, ("HealthOmics does not tell where the outputs are",))
        # Only Nextflow runs have an engine version; they leave no summary.
        if run.get("engineVersion"):
            return Outputs({LOCATION: uri}, ("Nextflow leaves no summary of outputs: see their location",))
        return self._from_summary(uri, run.get("stopTime"))

    def _from_summary(self, uri: str, stopped: datetime | None) -> Outputs:
        refusals = []
        for name in _SUMMARIES:
            try:
                return _parsed(self._read(uri, name), uri)
            except Refusal as refusal:
                refusals.append(f"{name}: {refusal}")
        if stopped and self._clock.now() - stopped < _MAY_STILL_COME:
            raise NotNow(f"the summary of outputs is not there yet: {'; '.join(refusals)}")
        return Outputs({LOCATION: uri}, (f"no summary of outputs can be read: {'; '.join(refusals)}",))

    def _read(self, uri: str, name: str) -> bytes:
        place = urlsplit(uri)
        key = f"{place.path.strip('/')}/{name}".lstrip("/")
        return self._client.read_object(place.netloc, key, longest=_LONGEST_SUMMARY)


def _parsed(summary: bytes, uri: str) -> Outputs:
    if len(summary) > _LONGEST_SUMMARY:
        return Outputs({LOCATION: uri}, (f"the summary of outputs is longer than {_LONGEST_SUMMARY:,} bytes",))
    try:
        values = json.loads(summary)
    except ValueError as error:
        return Outputs({LOCATION: uri}, (f"the summary of outputs is no JSON: {error}",))
    if not isinstance(values, dict):
        return Outputs({LOCATION: uri}, ("the summary of outputs is no JSON object",))
    return Outputs({name: _with_addresses(value, uri) for name, value in values.items()})


def _with_addresses(value: object, uri: str) -> object:
    """The value as it is, but CWL's files with the whole address, which the service may leave incomplete."""
    if isinstance(value, list):
        return [_with_addresses(item, uri) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _with_addresses(item, uri) for name, item in value.items()}
    if value.get("class") in _FILES and isinstance(value.get("location"), str):
        inner["location"] = _address(value["location"], uri)
    return inner


def _address(location: str, uri: str) -> str:
    if "://" in location:
        return location
    if location.startswith(f"{urlsplit(uri).netloc}/"):
        return f"s3://{location}"
    return f"{uri.rstrip('/')}/{location}" if location.startswith("out/") else location
