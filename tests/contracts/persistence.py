"""What every store owes the core. A child gives a fixture `store` with a `PersistenceHarness` of a fresh store.

class TestMemoryPersistence(PersistenceContract):
    @pytest.fixture
    def store(self) -> PersistenceHarness:
        return MemoryHarness()
"""

from tests.contracts.persistence_claims import ClaimRules
from tests.contracts.persistence_enrolment import EnrolmentRules, InheritanceRules
from tests.contracts.persistence_harness import PersistenceHarness, ServiceRow
from tests.contracts.persistence_late_updates import LateUpdateRules, LeftOutRules
from tests.contracts.persistence_leases import LeaseRules, UnitOfWorkRules
from tests.contracts.persistence_polls import CancellationRules, PollRules
from tests.contracts.persistence_queries import QueryRules
from tests.contracts.persistence_reviews import ReviewRules
from tests.contracts.persistence_runs import RunRules, StoredValueRules
from tests.contracts.persistence_sharing import SharingRules
from tests.contracts.persistence_submissions import SubmissionRules, WithdrawalRules
from tests.contracts.persistence_watching import WatchRules


class PersistenceContract(
    EnrolmentRules,
    InheritanceRules,
    ClaimRules,
    SharingRules,
    SubmissionRules,
    ReviewRules,
    WithdrawalRules,
    PollRules,
    CancellationRules,
    LateUpdateRules,
    LeftOutRules,
    LeaseRules,
    WatchRules,
    UnitOfWorkRules,
    RunRules,
    StoredValueRules,
    QueryRules,
):
    """All of it."""


__all__ = ["PersistenceContract", "PersistenceHarness", "ServiceRow"]
