"""Errors that the domain raises."""


class WesDaemonError(Exception):
    """Root of every error that this package raises on purpose."""


class IllegalTransition(WesDaemonError):
    """A run cannot change from its state to the requested one."""


class InvalidRequest(WesDaemonError):
    """A request to run a workflow is invalid; the message says what fixes it."""


class UnknownProvider(InvalidRequest):
    """The tag `provider_type` holds no provider's name, or no provider stands for the workflow engine."""
