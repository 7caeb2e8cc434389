"""All the bugs that are planted."""

from collections.abc import Sequence

from tests.mutations.application import OF_THE_APPLICATION
from tests.mutations.mutant import Mutant
from tests.mutations.persistence import OF_PERSISTENCE
from tests.mutations.providers import OF_PROVIDERS

MUTANTS: Sequence[Mutant] = (*OF_THE_APPLICATION, *OF_PERSISTENCE, *OF_PROVIDERS)
