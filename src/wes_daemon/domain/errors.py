"""The errors that the domain itself can raise."""


class WesDaemonError(Exception):
    """Root of every error that this package raises on purpose."""


class IllegalTransition(WesDaemonError):
    """A run was asked to become what it cannot become from where it is."""


class InvalidRequest(WesDaemonError):
    """A request to run a workflow can never work as it stands; the message says what would mend it."""


class UnknownProvider(InvalidRequest):
    """The tag `provider_type` names no provider that this package knows."""
