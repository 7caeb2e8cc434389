"""What the WES provider sends, and what it concludes from the answers."""

import math
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.call_gates import AskingGate
from tests.integration.providers.wes_fixtures import harness
from tests.integration.providers.wes_harness import WesHarness, wes_harness
from tests.simulators.sevenbridges.server import Authority
from tests.simulators.wes import faults
from tests.simulators.wes.faults import Fault, refusing
from tests.simulators.wes.model import SimulatedRun
from wes_daemon.adapters.providers.wes.config import WesConfig
from wes_daemon.adapters.providers.wes.provider import WesProvider
from wes_daemon.application.ports.errors import (
    AmbiguousRefusal,
    AnswerLost,
    Misconfigured,
    NotNow,
    NotSent,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
)
from wes_daemon.domain.runs import Unreadable
from wes_daemon.testing import accept

__all__ = ["harness"]


def _sent(harness: WesHarness) -> SimulatedRun:
    [run] = harness.model.runs.values()
    return run


class TestWhatIsSent:
    def test_a_first_submission_costs_one_call(self, harness: WesHarness) -> None:
        provider = harness.provider()
        accept(provider, harness.of())
        harness.operations()

        accept(provider, harness.of())

        assert harness.operations() == ["run_workflow"]

    def test_the_key_is_sent_as_header_and_as_tag(self, harness: WesHarness) -> None:
        submission = harness.of(key="wes-run-7")

        accept(harness.provider(), submission)

        assert harness.model.calls[-1].headers["Idempotency-Key"] == "wes-run-7"
        assert _sent(harness).request["tags"] == {"idempotency_key": "wes-run-7"}

    def test_attachments_keep_their_names_with_folders_and_their_bytes(self, harness: WesHarness) -> None:
        files = {"wf/main.cwl": b"cwlVersion: v1.2\n", "in/d.bin": bytes(range(256)), "in/ü q.txt": b"\r\n--x\r\n"}

        accept(harness.provider(), harness.of(attachments=files, workflow_url="wf/main.cwl"))

        assert _sent(harness).attachments == files

    def test_a_request_without_attachments_is_a_multipart_form_as_well(self, harness: WesHarness) -> None:
        accept(harness.provider(), harness.of(attachments={}, workflow_url="https://lab.example.org/x.cwl"))

        assert _sent(harness).request["workflow_url"] == "https://lab.example.org/x.cwl"
        assert harness.model.calls[-1].headers["Content-Type"].startswith("multipart/form-data")

    def test_inputs_are_sent_even_if_there_are_none(self, harness: WesHarness) -> None:
        """wes-service fails without them."""
        accept(harness.provider(), harness.of({}))

        assert _sent(harness).request["workflow_params"] == {}

    def test_the_users_tags_are_sent_as_texts_and_the_daemons_are_not(self, harness: WesHarness) -> None:
        tags = {"project": "p", "lanes": 7, "nested": {"a": [1]}, "none": None}
        own = {"provider_type": "wes", "provider_id": "x", "error": "e", "unreadable_tags": "u"}

        accept(harness.provider(), harness.of(tags={**tags, **own, "idempotency_key": "of the user"}, key="wes-run-7"))

        expected = {"project": "p", "lanes": "7", "nested": '{"a": [1]}', "idempotency_key": "wes-run-7"}
        assert _sent(harness).request["tags"] == expected

    def test_engine_parameters_are_texts_and_a_tag_may_stand_in_for_one(self, harness: WesHarness) -> None:
        parameters: Mapping[str, Any] = {"--outdir": "/x", "retries": 2, "--debug": None}
        tags = {"provider_retries": "9", "provider_queue": "long"}

        accept(harness.provider(), harness.of(workflow_engine_parameters=parameters, tags=tags))

        expected = {"--outdir": "/x", "retries": "2", "--debug": None, "queue": "long"}
        assert _sent(harness).request["workflow_engine_parameters"] == expected
        assert set(_sent(harness).request["tags"]) == {"idempotency_key"}

    @pytest.mark.parametrize(
        ("listed", "given", "sent"), [(("cwl",), "CWL", "cwl"), (("Nextflow", "CWL"), "NFL", "Nextflow")]
    )
    def test_the_type_is_spelt_as_the_server_lists_it(self, listed: tuple[str, ...], given: str, sent: str) -> None:
        with wes_harness(types=listed) as harness:
            accept(harness.provider(), harness.of(workflow_type=given))

            assert _sent(harness).request["workflow_type"] == sent

    def test_the_engine_that_the_run_names_is_sent_with_its_version(self, harness: WesHarness) -> None:
        accept(harness.provider(), harness.of(workflow_engine="CWLTOOL", workflow_engine_version="3"))

        request = _sent(harness).request
        assert (request["workflow_engine"], request["workflow_engine_version"]) == ("cwltool", "3")

    def test_the_providers_own_name_is_no_engine(self, harness: WesHarness) -> None:
        accept(harness.provider(name="toil-lab"), harness.of(workflow_engine="Toil-Lab"))

        assert "workflow_engine" not in _sent(harness).request

    def test_without_an_engine_none_is_sent(self, harness: WesHarness) -> None:
        accept(harness.provider(), harness.of(workflow_engine_version="3"))

        assert not {"workflow_engine", "workflow_engine_version"} & set(_sent(harness).request)

    @pytest.mark.parametrize(
        ("config", "header"),
        [({"token": "t-7"}, "Bearer t-7"), ({"user": "ada", "password": "p"}, "Basic YWRhOnA="), ({}, None)],
    )
    def test_the_credential_is_sent_with_every_call(self, config: Mapping[str, Any], header: str | None) -> None:
        with wes_harness(config=config, credential=header) as harness:
            provider = harness.provider()

            provider.statuses([accept(provider, harness.of())])

            assert {call.headers.get("Authorization") for call in harness.model.calls} == {header}

    def test_a_login_of_netrc_does_not_replace_the_token(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        netrc = tmp_path_factory.mktemp("home") / "netrc"
        netrc.write_text("machine 127.0.0.1 login other password other\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        with wes_harness(config={"token": "t-7"}, credential="Bearer t-7") as harness:
            accept(harness.provider(), harness.of())

            assert harness.model.started


class TestEngines:
    def test_a_server_that_demands_an_engine_gets_the_usual_one_for_the_type(self) -> None:
        with wes_harness(demands_engine=True, engines=("nextflow", "toil", "cwltool")) as harness:
            submission = harness.of()

            accept(harness.provider(), submission)

            assert _sent(harness).request["workflow_engine"] == "cwltool"
            assert harness.operations() == ["service_info", "run_workflow", "run_workflow"]

    def test_only_the_first_run_is_refused_for_want_of_an_engine(self) -> None:
        with wes_harness(demands_engine=True) as harness:
            provider = harness.provider()
            accept(provider, harness.of())
            harness.operations()

            accept(provider, harness.of())

            assert harness.operations() == ["run_workflow"]

    def test_an_engine_that_the_run_names_is_not_replaced(self) -> None:
        with wes_harness(demands_engine=True) as harness, pytest.raises(Rejected, match="Invalid engine"):
            harness.provider().submit(harness.of(workflow_engine="toil"))

    def test_a_run_that_is_refused_for_another_reason_is_rejected_with_it(self, harness: WesHarness) -> None:
        with pytest.raises(Rejected, match="refused: no such input"):
            harness.provider().submit(harness.refused())

        assert harness.model.started == []

    def test_the_answer_to_the_repeated_request_may_be_lost_too(self) -> None:
        with wes_harness(demands_engine=True) as harness:
            harness.model.faults.add("run_workflow", refusing(400), faults.CUT_AFTER)
            submission = harness.of()

            with pytest.raises(OutcomeUnknown):
                harness.provider().submit(submission)

    def test_a_type_for_which_no_engine_can_be_told_is_not_sent_again(self, harness: WesHarness) -> None:
        harness.model.switches.engines = ("one", "two")
        harness.model.faults.add("run_workflow", refusing(400, "no engine"))

        with pytest.raises(Rejected, match="no engine"):
            harness.provider().submit(harness.of())

        assert len([call for call in harness.model.calls if call.operation == "run_workflow"]) == 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (refusing(401), Misconfigured),
            (refusing(403), AmbiguousRefusal),
            (refusing(404), AmbiguousRefusal),
            (refusing(409), OutcomeUnknown),
            (faults.page(404), AmbiguousRefusal),
            (faults.TOO_MANY, Throttled),
            (faults.OVERLOADED, Unavailable),
            (refusing(503), AnswerLost),
            (faults.ERROR_BEFORE, AnswerLost),
            (faults.BAD_GATEWAY_AFTER, AnswerLost),
            (faults.MALFORMED_AFTER, AnswerLost),
            (faults.MID_ANSWER, AnswerLost),
            (faults.CUT_BEFORE, AnswerLost),
            (faults.page(200, acts=True), AnswerLost),
            (Fault(reply=faults.Reply.CANNED, body="[1]"), AnswerLost),
            (Fault(reply=faults.Reply.CANNED, body="{}"), AnswerLost),
            (Fault(reply=faults.Reply.CANNED, body='{"run_id": "../other"}'), AnswerLost),
            (Fault(reply=faults.Reply.CANNED, body='{"run_id": 7}'), AnswerLost),
            (Fault(reply=faults.Reply.CANNED, body="[" * 100_000), AnswerLost),
            (
                Fault(reply=faults.Reply.CANNED, status=307, headers={"Location": "http://evil.example.org/"}),
                Misconfigured,
            ),
        ],
    )
    def test_an_answer_is_classified_by_its_status(
        self, harness: WesHarness, fault: Fault, error: type[Exception]
    ) -> None:
        harness.model.switches.engines = ()
        harness.model.faults.add("run_workflow", fault)

        with pytest.raises(error) as raised:
            harness.provider().submit(harness.of())

        assert type(raised.value) is error

    def test_a_refusal_that_is_cut_off_leaves_no_doubt(self, harness: WesHarness) -> None:
        harness.model.switches.engines = ()
        harness.model.faults.add("run_workflow", faults.MID_ANSWER)

        with pytest.raises(Rejected, match="HTTP 400"):
            harness.provider().submit(harness.refused())

    def test_a_redirect_is_not_followed(self, harness: WesHarness) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            other.settimeout(0.2)
            target = f"http://127.0.0.1:{other.getsockname()[1]}/"
            moved = Fault(reply=faults.Reply.CANNED, status=302, headers={"Location": target})
            harness.model.faults.add("run_workflow", moved)

            with pytest.raises(Misconfigured, match="final address"):
                harness.provider(token="t-7").submit(harness.of())

            with pytest.raises(TimeoutError):
                other.accept()

    def test_the_servers_own_words_reach_the_message_without_the_credential(self, harness: WesHarness) -> None:
        words = "no workflow at https://ada:pw@host/x?token=abc for hidden-7 " + "x" * 5000
        harness.model.switches.engines = ()
        harness.model.faults.add("run_workflow", refusing(400, words))

        with pytest.raises(Rejected, match="no workflow at") as raised:
            harness.provider(token="hidden-7").submit(harness.of())

        assert not [secret for secret in ("hidden-7", "ada:pw", "abc") if secret in str(raised.value)]
        assert len(str(raised.value)) < 700

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ('{"detail": [{"loc": ["x"], "msg": "Field required"}]}', "Field required"),
            ('{"title": "Bad Request", "status": 400}', "Bad Request"),
            ("plain words", "plain words"),
            ("<html><b>login</b></html>", "an HTML page"),
            ("", "HTTP 400"),
        ],
    )
    def test_words_are_read_from_the_forms_that_servers_use(self, harness: WesHarness, body: str, words: str) -> None:
        harness.model.switches.engines = ()
        harness.model.faults.add("run_workflow", Fault(reply=faults.Reply.CANNED, status=400, body=body))

        with pytest.raises(Rejected, match=words):
            harness.provider().submit(harness.of())

    @pytest.mark.parametrize(
        "params", [Unreadable("{"), {"x": math.nan}], ids=["inputs that are no JSON", "a number that JSON has not"]
    )
    def test_a_row_that_cannot_be_sent_is_rejected_before_anything_is_sent(
        self, harness: WesHarness, params: object
    ) -> None:
        with pytest.raises(Rejected, match="workflow_params"):
            harness.provider().submit(harness.of(params))

        assert "run_workflow" not in harness.operations()


class TestUnknownAge:
    def test_a_row_that_may_be_old_is_searched_for_before_it_is_sent(self, harness: WesHarness) -> None:
        """A restored database may have lost the call that started the run."""
        provider, submission = harness.provider(), replace(harness.of(), queued_for=None)
        id = accept(provider, submission)
        harness.let_lists_catch_up()
        harness.operations()

        again = accept(harness.provider(), submission)

        assert again == id
        assert harness.starts(submission.key) == 1
        assert "run_workflow" not in harness.operations()

    def test_a_row_of_unknown_age_that_no_run_belongs_to_is_sent(self, harness: WesHarness) -> None:
        submission = replace(harness.of(), queued_for=None)

        accept(harness.provider(), submission)

        assert harness.starts(submission.key) == 1


class TestBeforeTheRequest:
    def test_a_server_that_cannot_be_reached_has_certainly_started_nothing(self, harness: WesHarness) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        provider = harness.provider()
        accept(provider, harness.of())
        gone = WesProvider(WesConfig(endpoint=endpoint), clock=harness.clock)

        with pytest.raises(Unavailable, match=r"cannot be reached at 127\.0\.0\.1:\d+: Failed to establish"):
            gone.submit(harness.of())
        gone.close()

    def test_a_certificate_that_is_trusted_is_found_as_an_administrator_names_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = Authority(tmp_path)
        with wes_harness(tls=authority.context()) as harness:
            with pytest.raises(Misconfigured, match="REQUESTS_CA_BUNDLE"):
                harness.provider().submit(harness.of())
            assert harness.model.calls == []
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))

            accept(harness.provider(), harness.of())

            assert harness.model.started

    def test_a_host_that_does_not_exist_is_unreachable(self, harness: WesHarness) -> None:
        with pytest.raises(Unavailable, match="cannot be reached"):
            harness.provider(endpoint="http://wes.invalid").submit(harness.of())

    def test_a_server_without_tls_behind_https_has_started_nothing(self, harness: WesHarness) -> None:
        with pytest.raises(NotNow):
            harness.provider(endpoint=harness.config.endpoint.replace("http:", "https:")).submit(harness.of())

        assert harness.model.posts == []

    def test_missing_certificate_authorities_are_an_error_of_the_set_up(
        self, harness: WesHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")

        with pytest.raises(Misconfigured, match="REQUESTS_CA_BUNDLE names the file"):
            harness.provider(endpoint="https://127.0.0.1:1").submit(harness.of())

    def test_a_proxy_without_an_address_is_an_error_of_the_set_up(
        self, harness: WesHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("https_proxy", "http://ada:hidden-7@")

        with pytest.raises(Misconfigured, match="write http://host:port") as raised:
            harness.provider(endpoint="https://wes.example.org").submit(harness.of())

        assert "hidden-7" not in str(raised.value)

    def test_without_permission_of_the_gate_nothing_is_sent(self, harness: WesHarness) -> None:
        def refuse(operation: str) -> None:
            raise NotSent(f"no permission for {operation}")

        with pytest.raises(NotSent, match="GetServiceInfo"):
            harness.provider(gate=AskingGate(refuse)).submit(harness.of())

        assert harness.operations() == []

    def test_a_server_that_is_down_when_it_is_asked_about_itself_gets_no_request(self, harness: WesHarness) -> None:
        harness.model.faults.add("service_info", faults.CUT_BEFORE)

        with pytest.raises(Unavailable):
            harness.provider().submit(harness.of())

        assert harness.model.posts == []

    @pytest.mark.parametrize("fault", [refusing(403), refusing(404), refusing(501), faults.page(404)])
    def test_a_server_that_says_nothing_about_itself_gets_the_request_as_it_is(
        self, harness: WesHarness, fault: Fault
    ) -> None:
        harness.model.faults.add("service_info", fault)

        accept(harness.provider(), harness.of())

        assert harness.model.started

    def test_another_web_site_is_recognised_before_the_request_is_sent(self, harness: WesHarness) -> None:
        harness.model.faults.add("service_info", faults.page(200))

        with pytest.raises(Misconfigured, match="HTML page"):
            harness.provider().submit(harness.of())

        assert harness.model.posts == []


class TestTokens:
    def test_a_token_that_was_replaced_is_read_again_after_its_refusal(self) -> None:
        config = {"token": "old", "read_secret": lambda: "new"}
        with wes_harness(config=config, credential="Bearer new") as harness:
            provider, submission = harness.provider(), harness.of()

            with pytest.raises(Misconfigured, match="has changed: the next call uses the new one"):
                provider.submit(submission)

            assert accept(provider, submission)

    def test_a_token_that_is_still_refused_is_reported(self) -> None:
        with wes_harness(config={"token": "old", "read_secret": lambda: "old"}, credential="Bearer new") as harness:
            with pytest.raises(Misconfigured, match=r"WES_TOKEN.*|is the same") as raised:
                harness.provider().submit(harness.of())

            assert "Bearer" not in str(raised.value)

    def test_a_token_file_that_cannot_be_read_is_reported(self) -> None:
        def fail() -> str:
            raise Misconfigured("WES_TOKEN_FILE does not exist")

        with (
            wes_harness(config={"token": "old", "read_secret": fail}, credential="Bearer new") as harness,
            pytest.raises(Misconfigured, match="could not be read again: WES_TOKEN_FILE does not exist"),
        ):
            harness.provider().submit(harness.of())
