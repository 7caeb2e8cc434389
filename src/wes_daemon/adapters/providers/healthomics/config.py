"""What the provider has to be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOmicsConfig:
    """Where and as whom runs are started.

    Attributes:
        region: where the workflows are; outputs go to a bucket there.
        role_arn: what HealthOmics assumes for runs that name no role of their own.
        output_uri: `s3://bucket/prefix` for runs that name none of their own.
        access_key_id, secret_access_key, session_token: given together, or not at all for boto3's whole chain;
            the token belongs to temporary credentials only.
        connections: as many calls as may be under way at the same time.
        resend_horizon: how long the service is trusted to remember a request id; it documents no time.
    """

    region: str
    role_arn: str | None = None
    output_uri: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    connect_timeout: timedelta = timedelta(seconds=10)
    read_timeout: timedelta = timedelta(seconds=60)
    connections: int = 32
    resend_horizon: timedelta = timedelta(hours=12)


CALLS_PER_SECOND: Mapping[str, float] = {
    # Source: the service's page of API quotas; all can be raised. Copies of the page differ on StartRun: 1 or 0.1.
    "StartRun": 1,
    "GetRun": 10,
    "ListRuns": 10,
    "CancelRun": 10,
    "ListRunTasks": 10,
    "GetRunTask": 10,
}
"""The service's own limits by operation, for whoever makes the limiter; `GetObject` of S3 needs none."""
