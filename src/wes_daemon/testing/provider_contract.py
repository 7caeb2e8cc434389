"""The contract of a `WorkflowProvider`: what every provider has to keep, whatever service is behind it."""

from wes_daemon.testing.following_contract import FollowingContract
from wes_daemon.testing.listing_contract import ListingContract
from wes_daemon.testing.submission_contract import SubmissionContract


class ProviderContract(SubmissionContract, FollowingContract, ListingContract):
    """The suite. A child whose name begins with `Test` overrides the fixture `harness`."""
