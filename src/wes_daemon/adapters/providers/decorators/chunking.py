"""As many ids in one call as the service takes."""

from collections.abc import Collection, Mapping
from itertools import islice

from wes_daemon.adapters.providers.decorators.forwarding import Forwarding
from wes_daemon.domain.runs import ProviderRunId, StatusReport


class Chunking(Forwarding):
    """Lets `statuses` take any number of ids and asks the inner provider for one batch after the other."""

    def statuses(self, ids: Collection[ProviderRunId]) -> Mapping[ProviderRunId, StatusReport]:
        """As the inner provider, for any number of ids."""
        found: dict[ProviderRunId, StatusReport] = {}
        rest = iter(ids)
        while batch := list(islice(rest, self.limits.status_batch)):
            found.update(self._inner.statuses(batch))
        return found
