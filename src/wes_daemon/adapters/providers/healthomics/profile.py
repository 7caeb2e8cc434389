"""The AWS profile in use, and its region; the SDK is imported only where there may be one."""

import os

from wes_daemon.application.ports.errors import Misconfigured

_PROFILE_VARIABLES = ("AWS_DEFAULT_PROFILE", "AWS_PROFILE")
_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}


def profile_in_use() -> str:
    """Return the name of the profile that boto3 uses, whether it exists or not."""
    return next((value for name in _PROFILE_VARIABLES if (value := os.environ.get(name))), "default")


def profile_region() -> str | None:
    """Return the region of the profile in use, as boto3 finds it; None without one.

    Raises:
        Misconfigured: the profile does not exist, or a file of AWS cannot be parsed.
    """
    if profile_in_use() == "default" and not _has_file():
        return None
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    try:
        return get_session().get_config_variable("region") or None
    except BotoCoreError as error:
        raise Misconfigured(
            f"AWS profile {profile_in_use()!r}: {error}; correct it, or set AWS_REGION and the AWS keys"
        ) from error


def _has_file() -> bool:
    paths = (os.path.expandvars(os.environ.get(name) or default) for name, default in _FILES.items())
    # Not `Path.expanduser`, which raises where there is no home.
    return any(os.path.isfile(os.path.expanduser(path)) for path in paths)
