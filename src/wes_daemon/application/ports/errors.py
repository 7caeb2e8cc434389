"""The errors of calls across the ports, and what a caller may conclude from each."""

from datetime import timedelta

from wes_daemon.domain.errors import WesDaemonError


class ProviderError(WesDaemonError):
    """Base of the four errors of a call: `Rejected`, `NotNow`, `OutcomeUnknown` and `Misconfigured`."""


class Rejected(ProviderError):
    """The run can never work as it was requested; nothing was started."""


class WrongProvider(Rejected):
    """This provider can never run the request, but another may: the workflow is of another kind."""


class NotNow(ProviderError):
    """The call certainly had no effect; the same call may work later."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """How long to wait, if the service says so."""


class Throttled(NotNow):
    """There were too many calls, by the service's count or by the local quota; the service itself works."""


class Unavailable(NotNow):
    """The service is down or cannot be reached, so that other calls would fail, too."""


class NotSent(NotNow):
    """Nothing was sent, for a reason in this process; it does not count as an attempt."""


class CircuitOpen(NotSent):
    """Nothing was sent, because the service failed repeatedly; `retry_after` says when the next call is sent."""


class OutcomeUnknown(ProviderError):
    """The call may or may not have had an effect: resolve it by the idempotency key."""


class AnswerLost(OutcomeUnknown):
    """The service failed during the call, or no answer arrived. Like `Unavailable` it is a failure of the service."""


class Unprovable(OutcomeUnknown):
    """The call may have had an effect, and no further call can show it: a person has to decide."""


class Misconfigured(ProviderError):
    """No run can work with this provider until a person acts: change no run, and report it."""


class NotEnabled(Misconfigured):
    """This process does not serve the provider, which may lack settings or its plug-in. Another daemon may serve it."""


class AmbiguousRefusal(Misconfigured):
    """The service refused the call and did not say whether because of the set-up or because of this run.

    It is treated as `Misconfigured` until the provider accepts another run with the same set-up: then the refusal
    concerns this run alone.
    """


def in_doubt(evidence: str, error: Exception) -> OutcomeUnknown:
    """Return the error for a call that may have had an effect, if `error` prevented the search for that effect."""
    kind = AnswerLost if isinstance(error, Unavailable | AnswerLost) else OutcomeUnknown
    return kind(f"{evidence}: {error}")


class RunNotFound(WesDaemonError):
    """No run has this id."""


class ConcurrentUpdate(WesDaemonError):
    """The row was changed between reading and writing; nothing was written."""


class ClaimLost(ConcurrentUpdate):
    """Another daemon claims the run now; nothing was written."""


class AlreadyRecorded(ConcurrentUpdate):
    """The claim was ended earlier under this fencing token; nothing was written.

    Only the claim's owner can end it. After a commit whose answer was lost, it means that the commit took place.
    """


class NotInReview(WesDaemonError):
    """The run does not need review, or this decision is not possible for it; nothing was written."""


class RunLocked(WesDaemonError):
    """Another session keeps the run's row locked; nothing was written."""


class LeaseLost(WesDaemonError):
    """The lease of this daemon has expired: other daemons may have taken its claims over."""


class StorageUnavailable(WesDaemonError):
    """The database cannot be reached or does not work at the moment; a commit may or may not have taken place."""


class Contended(StorageUnavailable):
    """The database rolled back one of two conflicting transactions; the same transaction may work at once."""


class Locked(StorageUnavailable):
    """Another session kept a row locked for longer than this one waits; nothing was written."""


class StorageMisconfigured(WesDaemonError):
    """The database can be reached but not used; the message says what fixes it."""


class ServiceTablesMissing(StorageMisconfigured):
    """The tables that a WES service creates do not exist yet; the daemon waits for them."""


class StorageRefused(WesDaemonError):
    """The database refused a statement because of a value, a constraint or a trigger; nothing was written.

    The same statement would fail again, but statements about other runs are not affected. The message repeats no
    value of a row.
    """
