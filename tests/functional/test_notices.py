"""Notices of the local provider, as a person reads them."""

import json

import pytest

from tests.functional.conftest import CWL, Call, until
from wes_daemon import WorkflowRequest, build_application, read_settings

pytest.importorskip("cwltool")

pytestmark = pytest.mark.usefixtures("set_up")


def test_show_prints_the_notice_about_an_unknown_input_of_a_run_that_is_complete(uri: str, call: Call) -> None:
    """D1: also that the notice is no error."""
    call("db", "upgrade")
    application = build_application(read_settings(database_uri=uri))
    request = WorkflowRequest(
        workflow_url=(CWL / "echo.cwl").as_uri(),
        workflow_type="CWL",
        workflow_type_version="v1.2",
        workflow_params={"mesage": "\U0001f600"},
    )
    run_id = application.create_run(request)

    until(lambda: "ended" in json.loads(call("run-once", "--json").stdout)["refresh"]["outcomes"])

    shown = call("show", run_id).stdout
    assert "COMPLETE" in shown
    assert "no input 'mesage'; did you mean 'message'?" in " ".join(shown.split())
    assert application.get_run(run_id).run.error is None
    application.close()
