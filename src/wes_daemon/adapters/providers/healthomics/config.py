"""The configuration of the HealthOmics provider, and the service's own rate limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOmicsConfig:
    """The AWS region, the credentials and the defaults of runs.

    Attributes:
        region: AWS region of workflows and runs; the output bucket must be in the same region.
        role_arn: role that HealthOmics assumes for runs that name no role of their own.
        output_uri: `s3://bucket/prefix` for runs that name no output location of their own.
        access_key_id, secret_access_key: set both, or neither to use boto3's credential chain.
        session_token: belongs to temporary credentials only.
        connections: maximum number of concurrent calls.
        resend_horizon: how long after the first claim the same request id is sent again; AWS does not document
            for how long the service remembers a request id.
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
"""The service's default rate limit of each operation. `GetObject` belongs to S3 and needs no limit."""
