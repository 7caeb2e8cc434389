"""All mutants."""

from collections.abc import Sequence

from tests.mutations.catalogue.database import DATABASE
from tests.mutations.catalogue.following import FOLLOWING
from tests.mutations.catalogue.healthomics import HEALTHOMICS
from tests.mutations.catalogue.memory import MEMORY
from tests.mutations.catalogue.requests import REQUESTS
from tests.mutations.catalogue.resilience import LOCAL, RESILIENCE
from tests.mutations.catalogue.schema import SCHEMA
from tests.mutations.catalogue.sevenbridges import SEVENBRIDGES
from tests.mutations.catalogue.submissions import SUBMISSIONS
from tests.mutations.catalogue.submitting import SUBMITTING
from tests.mutations.catalogue.testing import TESTING
from tests.mutations.catalogue.watching import WATCHING
from tests.mutations.catalogue.wes import WES
from tests.mutations.mutant import Mutant

MUTANTS: Sequence[Mutant] = (
    *SUBMITTING,
    *WATCHING,
    *FOLLOWING,
    *SUBMISSIONS,
    *DATABASE,
    *SCHEMA,
    *MEMORY,
    *REQUESTS,
    *SEVENBRIDGES,
    *HEALTHOMICS,
    *WES,
    *LOCAL,
    *RESILIENCE,
    *TESTING,
)
