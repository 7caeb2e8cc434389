"""Where a queue is, by its URL."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

# Sources: AWS' list of SQS endpoints, those of China, and the names of VPC endpoints.
_AWS_HOST = re.compile(r"sqs\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?", re.ASCII)
_REGION_IN_HOST = re.compile(
    r"(^|\.)sqs(-fips)?\.(?P<region>[a-z]{2}(-[a-z]+)+-\d)\.|^(?P<old>[a-z]{2}(-[a-z]+)+-\d)\.queue\."
)


@dataclass(frozen=True, slots=True)
class QueueAddress:
    """Whom to call about a queue.

    Attributes:
        region: None where the URL does not tell it.
        endpoint: None for the one that the SDK has for the region.
    """

    url: str
    region: str | None
    endpoint: str | None

    @classmethod
    def of(cls, url: str) -> "QueueAddress":
        """What the URL of a queue tells; one that is not at SQS' usual address is called where it is."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        usual = _AWS_HOST.fullmatch(host)
        found = _REGION_IN_HOST.search(host)
        region = (found["region"] or found["old"]) if found else None
        return cls(url, region, None if usual else f"{parts.scheme}://{parts.netloc}")
