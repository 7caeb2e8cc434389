"""The simulated service itself, asked by the bare SDK."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sevenbridges.errors import (
    BadRequest,
    Forbidden,
    NonJSONResponseError,
    NotFound,
    SbgError,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from sevenbridges.http.error_handlers import maintenance_sleeper

from tests.integration.providers.sevenbridges_fixtures import api, authority, bare_api, draft, harness, trusted
from tests.integration.providers.sevenbridges_harness import APP, PROJECT, TOKEN, SevenBridgesHarness
from tests.simulators.sevenbridges import faults

__all__ = ["api", "authority", "harness", "trusted"]


class TestLists:
    def test_pages_have_the_four_parts(self, api: Any) -> None:
        names = {draft(api, name=f"t{number}").name for number in range(7)}

        found = list(api.tasks.query(project=PROJECT, limit=3, api=api).all())

        assert {task.name for task in found} == names

    def test_fifty_are_listed_where_nothing_is_said_and_a_hundred_at_most(
        self, api: Any, harness: SevenBridgesHarness
    ) -> None:
        template = harness.platform.tasks[draft(api).id]
        for number in range(120):
            harness.platform.tasks[f"{number}"] = {**template, "id": f"{number}"}

        assert len(api.get("/tasks", params={"project": PROJECT}).json()["items"]) == 50
        assert len(api.get("/tasks", params={"project": PROJECT, "limit": 100}).json()["items"]) == 100
        with pytest.raises(BadRequest):
            api.get("/tasks", params={"project": PROJECT, "limit": 101})

    def test_fields_are_those_that_were_asked_for(self, api: Any) -> None:
        draft(api)

        asked = api.get("/tasks", params={"project": PROJECT, "fields": "id,status"}).json()["items"][0]
        default = api.get("/tasks", params={"project": PROJECT}).json()["items"][0]

        assert set(asked) == {"id", "status"}
        assert "status" not in default

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"status": "DRAFT"}, ["first"]),
            ({"status": ["DRAFT", "QUEUED"]}, ["first", "second"]),
            ({"created_from": "2026-01-01T00:30:00"}, ["second"]),
            ({"created_to": "2026-01-01T00:30:00Z"}, ["first"]),
            ({"started_from": "2026-01-01T00:00:00"}, ["second"]),
            ({"order": "desc"}, ["second", "first"]),
            ({"order_by": "name", "order": "asc"}, ["first", "second"]),
            ({"parent": "nobody"}, []),
            ({"batch": "True"}, []),
        ],
    )
    def test_filters(self, api: Any, harness: SevenBridgesHarness, query: dict[str, object], found: list[str]) -> None:
        draft(api, name="first")
        harness.clock.advance(timedelta(hours=1))
        draft(api, name="second").run()

        items = api.get("/tasks", params={"project": PROJECT, **query}).json()["items"]

        assert [item["name"] for item in items] == found

    def test_a_status_that_does_not_exist_is_refused(self, api: Any) -> None:
        with pytest.raises(BadRequest) as refused:
            api.get("/tasks", params={"status": "EXPORTING"})
        assert refused.value.code == 7006

    def test_a_new_task_may_be_listed_late(self, api: Any, harness: SevenBridgesHarness) -> None:
        harness.platform.listing_lag = timedelta(seconds=10)
        draft(api)
        assert api.get("/tasks", params={"project": PROJECT}).json()["items"] == []

        harness.clock.advance(timedelta(seconds=10))

        assert len(api.get("/tasks", params={"project": PROJECT}).json()["items"]) == 1


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "kind", "code"),
        [
            ("/tasks/3f2a0c1e-0000-4000-8000-000000000000", NotFound, 7002),
            ("/tasks/nonsense", BadRequest, 7005),
            ("/apps/lab/genomes/nothing", NotFound, 6002),
            (f"/apps/{APP}/9", NotFound, 6002),
            ("/files?project=lab/nowhere", NotFound, 3002),
            ("/files?project=lab/others", Forbidden, 3001),
            ("/files?parent=ffffffffffffffffffffffff", NotFound, 5002),
            ("/nothing", NotFound, 90003),
        ],
    )
    def test_errors_have_their_codes(
        self, api: Any, harness: SevenBridgesHarness, path: str, kind: type[SbgError], code: int
    ) -> None:
        harness.platform.add_token("not-a-token-either", "lab/others")

        with pytest.raises(kind) as refused:
            api.get(path)

        assert refused.value.code == code

    def test_who_is_not_known_is_told_so(self, harness: SevenBridgesHarness) -> None:
        stranger = bare_api(harness, "unknown-not-a-token")

        with pytest.raises(Unauthorized):
            stranger.get("/tasks")

        stranger.session.close()

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            (faults.ERROR, ServiceUnavailable),
            (faults.BAD_GATEWAY, NonJSONResponseError),
            (faults.UNAVAILABLE, ServiceUnavailable),
            (faults.TOO_MANY, TooManyRequests),
            (faults.CUT_BEFORE, SbgError),
            (faults.HTML_AFTER, requests.exceptions.JSONDecodeError),
        ],
    )
    def test_faults_are_what_the_sdk_says_they_are(
        self, api: Any, harness: SevenBridgesHarness, fault: faults.Fault, kind: type[Exception]
    ) -> None:
        harness.platform.faults.add("list_tasks", fault)

        with pytest.raises(kind):
            api.get("/tasks", params={"project": PROJECT}).json()

    @pytest.mark.parametrize(("fault", "made"), [(faults.CUT_BEFORE, 0), (faults.CUT_AFTER, 1)])
    def test_a_cut_comes_before_or_after_the_act(
        self, api: Any, harness: SevenBridgesHarness, fault: faults.Fault, made: int
    ) -> None:
        harness.platform.faults.add("create_task", fault)

        with pytest.raises(SbgError) as lost:
            draft(api)

        assert lost.value.status is None
        assert len(harness.platform.tasks) == made

    def test_maintenance_is_what_the_sdk_would_sleep_through(self, api: Any, harness: SevenBridgesHarness) -> None:
        api.remove_error_handler(maintenance_sleeper)
        harness.platform.faults.add("list_tasks", faults.MAINTENANCE)

        with pytest.raises(ServiceUnavailable) as refused:
            api.get("/tasks")

        assert refused.value.code == 0


class TestRates:
    def test_calls_are_counted_per_token_and_refused_until_the_window_ends(self, harness: SevenBridgesHarness) -> None:
        harness.platform.rate_limit = 2
        harness.platform.add_token("not-a-token-either", PROJECT)
        one, other = bare_api(harness, TOKEN), bare_api(harness, "not-a-token-either")
        first = one.get("/tasks").headers
        one.get("/tasks")

        with pytest.raises(TooManyRequests) as refused:
            one.get("/tasks")

        assert refused.value.code == 1000
        assert (first["X-RateLimit-Limit"], first["X-RateLimit-Remaining"]) == ("2", "1")
        assert int(first["X-RateLimit-Reset"]) == int((harness.clock.now() + timedelta(minutes=5)).timestamp())
        other.get("/tasks")
        harness.clock.advance(timedelta(minutes=5))
        one.get("/tasks")
        one.session.close()
        other.session.close()

    def test_asking_for_the_rate_is_free(self, api: Any, harness: SevenBridgesHarness) -> None:
        harness.platform.rate_limit = 1

        for _ in range(3):
            body = api.get("/rate_limit").json()

        assert body["rate"]["remaining"] == 1
        assert body["instance_limit"] == {"limit": -1, "remaining": -1}


class TestStorage:
    def test_files_are_listed_level_by_level(self, api: Any, harness: SevenBridgesHarness) -> None:
        folder = harness.platform.add_file("run7", PROJECT, type="folder")
        harness.platform.add_file("deep", PROJECT, parent=folder)

        assert [file.name for file in api.files.query(project=PROJECT, api=api)] == ["run7"]
        assert [file.name for file in api.files.query(parent=folder, names=["deep"], api=api)] == ["deep"]

    def test_a_folder_is_made_once(self, api: Any) -> None:
        api.files.create_folder(name="run7", project=PROJECT, api=api)

        with pytest.raises(SbgError) as refused:
            api.files.create_folder(name="run7", project=PROJECT, api=api)

        assert refused.value.code == 5030

    def test_a_folder_in_a_folder_that_is_gone_is_refused(self, api: Any) -> None:
        with pytest.raises(SbgError) as refused:
            api.files.create_folder(name="run7", parent="5" * 24, api=api)

        assert refused.value.code == 5026

    def test_an_import_takes_its_time(self, api: Any, harness: SevenBridgesHarness) -> None:
        harness.platform.add_volume("lab/v", "bucket")
        folder = harness.platform.add_file("run7", PROJECT, type="folder")
        started = api.imports.submit_import(volume="lab/v", location="a", parent=folder, name="a", api=api)
        assert started.state == "PENDING"

        harness.platform.end_imports()

        assert api.imports.get(started.id, api=api).result.name == "a"

    def test_a_name_that_is_taken_makes_an_import_fail(self, api: Any, harness: SevenBridgesHarness) -> None:
        harness.platform.add_volume("lab/v", "bucket")
        folder = harness.platform.add_file("run7", PROJECT, type="folder")
        harness.platform.add_file("a", PROJECT, parent=folder)
        started = api.imports.submit_import(volume="lab/v", location="a", parent=folder, name="a", api=api)

        harness.platform.end_imports()

        assert api.imports.get(started.id, api=api).state == "FAILED"


class TestTls:
    def test_nobody_trusts_the_authority_by_themselves(
        self, harness: SevenBridgesHarness, monkeypatch: pytest.MonkeyPatch, trusted: Path
    ) -> None:
        assert trusted.exists()
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        api = bare_api(harness, TOKEN)

        with pytest.raises(SbgError, match="CERTIFICATE_VERIFY_FAILED"):
            api.get("/tasks")

        api.session.close()
