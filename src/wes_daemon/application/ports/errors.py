"""How calls across the ports may fail, and what each failure allows the caller to conclude."""

from datetime import timedelta

from wes_daemon.domain.errors import WesDaemonError


class ProviderError(WesDaemonError):
    """Root of the four ways in which a call to a provider can end without an answer."""


class Rejected(ProviderError):
    """This run will never work as it was asked for; nothing was started."""


class NotNow(ProviderError):
    """Certainly nothing happened; the same call may work later."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """How long the service asked us to wait, where it said so."""


class Throttled(NotNow):
    """Too many calls, by the service's count or by our own: the service itself is well."""


class CircuitOpen(NotNow):
    """Nothing was tried, for the service has failed again and again; says when it will be tried again."""


class OutcomeUnknown(ProviderError):
    """Perhaps it happened: resolve it by the submission's key, never assume."""


class Unprovable(OutcomeUnknown):
    """Perhaps it happened, and no further call can tell: a person has to decide."""


class Misconfigured(ProviderError):
    """No run will work with this provider until a person acts: touch no run, say it loudly."""


class RunNotFound(WesDaemonError):
    """No run has that id."""


class ConcurrentUpdate(WesDaemonError):
    """Somebody else changed the row between our read and our write; nothing was written."""


class ClaimLost(ConcurrentUpdate):
    """Another daemon holds the run now; nothing was written and nothing may be assumed."""


class LeaseLost(WesDaemonError):
    """This daemon's lease ran out: its claims may be held by others."""


class StorageUnavailable(WesDaemonError):
    """The database cannot be reached, or refuses to work, at the moment; whether a commit took place is unknown."""


class StorageMisconfigured(WesDaemonError):
    """The database can be reached but cannot be used as it is; the message says what would mend it."""
