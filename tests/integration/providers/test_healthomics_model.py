"""What the provider assumes about the installed SDK."""

import subprocess
import sys

from botocore.loaders import Loader

from wes_daemon.adapters.providers.healthomics.error_tables import CODES
from wes_daemon.adapters.providers.healthomics.runs import ACTIVE, DELETED, STATES

_MODEL = Loader().load_service_model("omics", "service-2")


def test_the_table_of_states_contains_every_status_of_the_model() -> None:
    assert {*STATES, DELETED} == set(_MODEL["shapes"]["RunStatus"]["enum"])
    assert set(ACTIVE) == {status for status, state in STATES.items() if not state.has_ended}


def test_the_table_of_errors_contains_every_error_of_the_model() -> None:
    operations = ("StartRun", "GetRun", "ListRuns", "CancelRun", "ListRunTasks", "GetRunTask")
    modelled = {error["shape"] for name in operations for error in _MODEL["operations"][name]["errors"]}

    assert modelled <= {*CODES}


def test_the_sdk_is_not_imported_before_the_first_call() -> None:
    script = (
        "import sys\n"
        "from wes_daemon.adapters.providers.healthomics.config import HealthOmicsConfig\n"
        "from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider\n"
        "HealthOmicsProvider(HealthOmicsConfig(region='us-east-1'), clock=None)\n"
        "assert not {'boto3', 'botocore'} & set(sys.modules), 'imported'\n"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
