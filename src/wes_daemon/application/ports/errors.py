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


class Unavailable(NotNow):
    """The service is down or cannot be reached: its own failure, which other calls would meet as well."""


class NotSent(NotNow):
    """Nothing was sent, for reasons of our own, so that it does not count as an attempt."""


class CircuitOpen(NotSent):
    """Nothing was tried, for the service has failed again and again; says when it will be tried again."""


class OutcomeUnknown(ProviderError):
    """Perhaps it happened: resolve it by the submission's key, never assume."""


class AnswerLost(OutcomeUnknown):
    """The service broke down over the call, or no answer came: its own failure, as `Unavailable` is."""


class Unprovable(OutcomeUnknown):
    """Perhaps it happened, and no further call can tell: a person has to decide."""


class Misconfigured(ProviderError):
    """No run will work with this provider until a person acts: touch no run, say it loudly."""


def in_doubt(evidence: str, error: Exception) -> OutcomeUnknown:
    """What is left where something may have happened and `error` keeps it from being looked up."""
    kind = AnswerLost if isinstance(error, Unavailable | AnswerLost) else OutcomeUnknown
    return kind(f"{evidence}: {error}")


class RunNotFound(WesDaemonError):
    """No run has that id."""


class ConcurrentUpdate(WesDaemonError):
    """Somebody else changed the row between our read and our write; nothing was written."""


class ClaimLost(ConcurrentUpdate):
    """Another daemon holds the run now; nothing was written and nothing may be assumed."""


class AlreadyRecorded(ConcurrentUpdate):
    """Whoever held the claim has given it back under this very claim, as its holder alone can; nothing was written.

    After a commit whose answer was lost it means that the commit took place.
    """


class NotInReview(WesDaemonError):
    """A person wanted to resolve a run that needs no decision, or not this one; nothing was written."""


class LeaseLost(WesDaemonError):
    """This daemon's lease ran out: its claims may be held by others."""


class StorageUnavailable(WesDaemonError):
    """The database cannot be reached, or refuses to work, at the moment; whether a commit took place is unknown."""


class Contended(StorageUnavailable):
    """The database has undone one of two transactions that were in each other's way: the same may work at once."""


class StorageMisconfigured(WesDaemonError):
    """The database can be reached but cannot be used as it is; the message says what would mend it."""
