"""The environment that a run sees: what it needs of the daemon's, and none of the daemon's secrets."""

import os
from collections.abc import Mapping

RUN_VARIABLE = "WES_DAEMON_LOCAL_RUN"
"""Set to the run's directory in every process of the run, so that what is left of it can be found."""

_PASSED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TMPDIR", "TZ"),
        *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH"),
        # Where the container engine listens; these name places and hold no secret.
        *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
        *("XDG_RUNTIME_DIR", "CONTAINER_HOST", "CWL_SINGULARITY_CACHE"),
    }
)


def may_pass(variable: str) -> bool:
    """Whether a run may see this variable of the daemon's environment."""
    return variable in _PASSED or (variable.startswith("LC_") and variable[3:].isalpha() and variable.isascii())


def run_environment(daemon: Mapping[str, str]) -> dict[str, str]:
    """What of the daemon's environment a run is given; it works from any directory."""
    passed = {name: value for name, value in daemon.items() if may_pass(name)}
    passed.setdefault("PATH", os.defpath)  # cwltool insists on one
    if path := passed.get("PYTHONPATH"):
        # The runner works elsewhere, where a relative entry would lead to nothing or to another's code.
        passed["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in path.split(os.pathsep) if entry)
    return passed
