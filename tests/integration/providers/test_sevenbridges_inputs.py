"""Files among a run's inputs: the forms that a user may write, and the ids that the task gets."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.providers.sevenbridges_fixtures import authority, harness, trusted
from tests.integration.providers.sevenbridges_harness import PROJECT, SevenBridgesHarness
from tests.simulators.sevenbridges import faults
from tests.simulators.sevenbridges.faults import Fault, Reply, refusing
from wes_daemon.adapters.providers.sevenbridges.imports import FOLDER
from wes_daemon.application.ports.errors import Misconfigured, NotNow, Rejected
from wes_daemon.domain.runs import Attachment
from wes_daemon.testing import accept

__all__ = ["authority", "harness", "trusted"]

ADDRESS = "s3://reads-bucket/run7/a.fastq"


def draft_inputs(harness: SevenBridgesHarness, reads: object, **params: object) -> Mapping[str, Any]:
    """Return the inputs of the draft that is created from these."""
    answer = harness.provider().submit(harness.of({"sample": "x", "reads": reads, **params}))
    inputs: Mapping[str, Any] = harness.platform.tasks[answer.id]["inputs"]
    return inputs


def file(path: str, **more: object) -> Mapping[str, object]:
    return {"class": "File", "path": path, **more}


class TestNames:
    def test_a_file_id_is_taken_as_it_is(self, harness: SevenBridgesHarness) -> None:
        id = harness.platform.add_file("a.fastq", PROJECT)

        assert draft_inputs(harness, file(id))["reads"] == file(id)
        assert "list_files" not in harness.operations()

    @pytest.mark.parametrize("path", ["a.fastq", "/a.fastq", f"sbg://{PROJECT}/a.fastq"])
    def test_a_file_is_found_by_its_name(self, harness: SevenBridgesHarness, path: str) -> None:
        id = harness.platform.add_file("a.fastq", PROJECT)

        assert draft_inputs(harness, file(path))["reads"] == file(id)

    @pytest.mark.parametrize("path", ["run7/lane1/a.fastq", f"sbg://{PROJECT}/run7/lane1/a.fastq"])
    def test_a_file_is_found_in_folders_one_call_for_each(self, harness: SevenBridgesHarness, path: str) -> None:
        run = harness.platform.add_file("run7", PROJECT, type="folder")
        lane = harness.platform.add_file("lane1", PROJECT, parent=run, type="folder")
        id = harness.platform.add_file("a.fastq", PROJECT, parent=lane)
        harness.platform.add_file("a.fastq", PROJECT)

        assert draft_inputs(harness, file(path))["reads"]["path"] == id
        assert harness.operations().count("list_files") == 3

    def test_location_is_read_where_there_is_no_path(self, harness: SevenBridgesHarness) -> None:
        id = harness.platform.add_file("a.fastq", PROJECT)

        assert draft_inputs(harness, {"class": "File", "location": "a.fastq"})["reads"] == file(id)

    def test_a_directory_is_a_folder(self, harness: SevenBridgesHarness) -> None:
        harness.platform.add_file("hg38", PROJECT)
        id = harness.platform.add_file("hg38", PROJECT, type="folder")

        inputs = draft_inputs(harness, None, reference={"class": "Directory", "path": "hg38"})

        assert inputs["reference"]["path"] == id

    def test_files_are_found_however_deep_they_stand(self, harness: SevenBridgesHarness) -> None:
        a, index = harness.platform.add_file("a.bam", PROJECT), harness.platform.add_file("a.bam.bai", PROJECT)
        nested = [file("a.bam", secondaryFiles=[file("a.bam.bai")])]

        inputs = draft_inputs(harness, None, pairs=nested, record={"inner": [{"deep": file("a.bam")}]})

        assert inputs["pairs"] == [file(a, secondaryFiles=[file(index)])]
        assert inputs["record"] == {"inner": [{"deep": file(a)}]}

    def test_text_is_a_file_where_the_app_takes_one_and_text_where_it_does_not(
        self, harness: SevenBridgesHarness
    ) -> None:
        id = harness.platform.add_file("a.fastq", PROJECT)

        inputs = draft_inputs(harness, id, sample=id, pairs=[f"sbg://{PROJECT}/a.fastq"])

        assert (inputs["reads"], inputs["sample"], inputs["pairs"]) == (file(id), id, [file(id)])

    def test_a_drs_address_of_the_platform_is_the_file(self, harness: SevenBridgesHarness) -> None:
        id = harness.platform.add_file("a.fastq", PROJECT)
        submission = harness.of({"sample": "x", "reads": file(f"drs://cgc-ga4gh-api.sbgenomics.com/{id}")})

        answer = harness.provider(drs_host="cgc-ga4gh-api.sbgenomics.com").submit(submission)

        assert harness.platform.tasks[answer.id]["inputs"]["reads"] == file(id)

    @pytest.mark.parametrize(
        ("reads", "why"),
        [
            (file("nothing.fastq"), "no File is named 'nothing.fastq'"),
            (file("no/such/folder.fastq"), "no Directory is named 'no'"),
            (file("twice.fastq"), "2 entries of class File are named 'twice.fastq'"),
            (file("sbg://lab/nowhere/a.fastq"), "Project lab/nowhere not found"),
            (file("sbg://lab"), "sbg://owner/project/path"),
            (file("https://example.org/a.fastq"), "no API that fetches from web addresses"),
            (file("file:///etc/passwd"), "does not know file://"),
            (file("drs://dataguids.org/dg.4503/1"), "is not a file of this platform"),
            (file("s3://unattached/a.fastq"), "no volume of this account holds the bucket unattached: attach it"),
            (file("s3://reads-bucket/run7/"), "whole folders"),
            ({"class": "File", "contents": "ACGT"}, "no literal contents"),
            (file("0" * 24), "Requested file does not exist"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_rejected_with_the_reason(
        self, harness: SevenBridgesHarness, reads: object, why: str
    ) -> None:
        for _ in range(2):
            harness.platform.add_file("twice.fastq", PROJECT)
        harness.platform.add_volume("lab/reads", "reads-bucket")

        with pytest.raises(Rejected, match=why):
            draft_inputs(harness, reads)

        assert harness.platform.tasks == {}

    def test_an_attachment_is_refused_by_name(self, harness: SevenBridgesHarness) -> None:
        attached = [Attachment(name="data/a.fastq", content=b"ACGT")]
        submission = replace(harness.of({"sample": "x", "reads": file("data/a.fastq")}), attachments=attached)

        with pytest.raises(Rejected, match="is an attachment, and attachments are not uploaded"):
            harness.provider().submit(submission)


class TestTheVendorsShape:
    def test_project_and_inputs_may_stand_in_the_params(self, harness: SevenBridgesHarness) -> None:
        harness.platform.add_token("not-a-token", PROJECT, "lab/others")
        params = {"project": "lab/others", "inputs": {"sample": "x"}, "use_interruptible_instances": False}

        answer = harness.provider().submit(harness.of(params))

        task = harness.platform.tasks[answer.id]
        assert (task["project"], task["inputs"], task["use_interruptible_instances"]) == (
            "lab/others",
            {"sample": "x"},
            False,
        )

    def test_a_run_in_a_project_of_its_own_is_found_again(self, harness: SevenBridgesHarness) -> None:
        harness.platform.add_token("not-a-token", PROJECT, "lab/others")
        submission = harness.of({"project": "lab/others", "inputs": {"sample": "x"}})

        assert accept(harness.provider(), submission) == accept(harness.provider(), submission)


class TestBuckets:
    @pytest.fixture
    def volume(self, harness: SevenBridgesHarness) -> None:
        harness.platform.add_volume("lab/everything", "reads-bucket")
        harness.platform.add_volume("lab/run7", "reads-bucket", prefix="run7/")
        harness.platform.add_volume("lab/cloud", "reads-bucket", service="GCS")

    @pytest.mark.usefixtures("volume")
    def test_an_import_is_started_and_not_waited_for(self, harness: SevenBridgesHarness) -> None:
        with pytest.raises(NotNow, match=f"import under way: {ADDRESS}") as waiting:
            draft_inputs(harness, file(ADDRESS))

        [started] = harness.platform.imports.values()
        assert started["source"] == {"volume": "lab/run7", "location": "a.fastq"}
        assert waiting.value.retry_after == timedelta(seconds=30)
        assert harness.platform.tasks == {}

    @pytest.mark.usefixtures("volume")
    @pytest.mark.parametrize("restarted", [False, True])
    def test_the_run_goes_on_when_the_file_is_there(self, harness: SevenBridgesHarness, restarted: bool) -> None:
        provider, submission = harness.provider(), harness.of({"sample": "x", "reads": file(ADDRESS)})
        with pytest.raises(NotNow):
            provider.submit(submission)
        harness.platform.end_imports()

        answer = (harness.provider() if restarted else provider).submit(submission)

        [started] = harness.platform.imports.values()
        assert harness.platform.tasks[answer.id]["inputs"]["reads"] == file(started["result"]["id"])

    @pytest.mark.usefixtures("volume")
    def test_a_second_run_finds_the_file_without_a_call(self, harness: SevenBridgesHarness) -> None:
        provider = harness.provider()
        with pytest.raises(NotNow):
            provider.submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))
        harness.platform.end_imports()
        provider.submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))
        harness.operations()

        provider.submit(harness.of({"sample": "y", "reads": file(ADDRESS)}))

        assert harness.operations() == ["list_tasks", "create_task", "list_tasks"]

    @pytest.mark.usefixtures("volume")
    def test_neighbours_in_the_bucket_are_neighbours_in_the_project(self, harness: SevenBridgesHarness) -> None:
        for name in ("a.bam", "a.bam.bai"):
            with pytest.raises(NotNow):
                draft_inputs(harness, file(f"gs://reads-bucket/x/{name}"))

        destinations = [record["destination"] for record in harness.platform.imports.values()]
        assert [destination["name"] for destination in destinations] == ["a.bam", "a.bam.bai"]
        assert len({destination["parent"] for destination in destinations}) == 1
        assert {record["source"]["volume"] for record in harness.platform.imports.values()} == {"lab/cloud"}

    @pytest.mark.usefixtures("volume")
    def test_two_daemons_that_import_one_file_both_get_it(self, harness: SevenBridgesHarness) -> None:
        submission = harness.of({"sample": "x", "reads": file(ADDRESS)})
        one, other = harness.provider(), harness.provider()
        for provider in (one, other):
            with pytest.raises(NotNow):
                provider.submit(submission)
        harness.platform.end_imports()

        assert one.submit(submission) == other.submit(submission)

        assert sorted(record["state"] for record in harness.platform.imports.values()) == ["COMPLETED", "FAILED"]

    @pytest.mark.usefixtures("volume")
    def test_an_import_that_fails_is_rejected_with_the_services_message(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), harness.of({"sample": "x", "reads": file(ADDRESS)})
        with pytest.raises(NotNow):
            provider.submit(submission)
        harness.platform.end_imports("Location is not accessible")

        with pytest.raises(Rejected, match="Location is not accessible"):
            provider.submit(submission)

    @pytest.mark.usefixtures("volume")
    @pytest.mark.parametrize("step", ["create_folder", "start_import"])
    def test_a_lost_answer_of_an_import_leaves_no_doubt_about_the_run(
        self, harness: SevenBridgesHarness, step: str
    ) -> None:
        provider, submission = harness.provider(), harness.of({"sample": "x", "reads": file(ADDRESS)})
        harness.platform.faults.add(step, faults.CUT_AFTER)
        with pytest.raises(NotNow, match="Seven Bridges"):
            provider.submit(submission)
        with pytest.raises(NotNow, match="under way"):
            provider.submit(submission)
        harness.platform.end_imports()

        accept(provider, submission)

        assert harness.starts(submission.key) == 1

    @pytest.mark.usefixtures("volume")
    def test_a_folder_that_was_deleted_is_created_again(self, harness: SevenBridgesHarness) -> None:
        provider = harness.provider()
        with pytest.raises(NotNow):
            provider.submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))
        harness.platform.files.clear()
        submission = harness.of({"sample": "x", "reads": file(ADDRESS.replace("a.f", "b.f"))})

        with pytest.raises(NotNow, match="under way"):
            provider.submit(submission)

        assert [record["name"] for record in harness.platform.files.values() if record["parent"] is None] == [FOLDER]

    @pytest.mark.usefixtures("volume")
    @pytest.mark.parametrize("code", [5002, 5022, 5026])
    def test_a_folder_that_is_gone_at_each_attempt_is_created_again_once(
        self, harness: SevenBridgesHarness, code: int
    ) -> None:
        """B2."""
        gone = refusing(404, code, "Destination folder is not found")
        harness.platform.faults.add("start_import", gone, gone)
        submission = harness.of({"sample": "x", "reads": file(ADDRESS)})

        with pytest.raises(Rejected, match=rf"input reads: {ADDRESS}.*code {code}"):
            harness.provider().submit(submission)

        assert harness.operations().count("start_import") == 2

    @pytest.mark.usefixtures("volume")
    @pytest.mark.parametrize("code", [5003, 5030])
    def test_a_folder_that_another_process_has_just_created_is_used(
        self, harness: SevenBridgesHarness, code: int
    ) -> None:
        """B2: the vendor's table has 5030 for a folder."""
        harness.platform.faults.add("create_folder", refusing(409, code, "exists", acts=True))

        with pytest.raises(NotNow, match="under way"):
            harness.provider().submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))

    @pytest.mark.usefixtures("volume")
    @pytest.mark.parametrize(("status", "code"), [(403, 9020), (404, 9007), (403, 9102), (404, 9109), (403, 9001)])
    def test_a_refused_import_rejects_the_run_and_names_the_input(
        self, harness: SevenBridgesHarness, status: int, code: int
    ) -> None:
        """B2."""
        harness.platform.faults.add("start_import", refusing(status, code, "no"))

        with pytest.raises(Rejected, match=rf"input reads: {ADDRESS}.*code {code}.*check the volume"):
            harness.provider().submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))

    @pytest.mark.usefixtures("volume")
    def test_an_import_whose_object_does_not_exist_ends_the_run(self, harness: SevenBridgesHarness) -> None:
        """B7: the service answers 404 with the import, whose state is FAILED."""
        provider, submission = harness.provider(), harness.of({"sample": "x", "reads": file(ADDRESS)})
        with pytest.raises(NotNow):
            provider.submit(submission)
        harness.platform.lose_objects()

        with pytest.raises(Rejected, match=rf"input reads: {ADDRESS}.*Location on volume not found"):
            provider.submit(submission)

    @pytest.mark.usefixtures("volume")
    def test_an_import_that_fails_at_once_ends_the_run(self, harness: SevenBridgesHarness) -> None:
        """B7."""
        failed = Fault(
            reply=Reply.CANNED,
            status=404,
            body='{"id": "i", "state": "FAILED", "error": {"message": "no such object"}}',
        )
        harness.platform.faults.add("start_import", failed)

        with pytest.raises(Rejected, match="no such object"):
            harness.provider().submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))

    @pytest.mark.parametrize("prefix", ["run7", "run7/", "/run7", "/run7/", "//run7//"])
    def test_a_prefix_is_a_folder_with_or_without_slashes(self, harness: SevenBridgesHarness, prefix: str) -> None:
        """B7."""
        harness.platform.add_volume("lab/reads", "reads-bucket", prefix=prefix)

        with pytest.raises(NotNow, match="under way"):
            harness.provider().submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))

        [record] = harness.platform.imports.values()
        assert record["source"] == {"volume": "lab/reads", "location": "a.fastq"}

    def test_a_prefix_matches_whole_folders_only(self, harness: SevenBridgesHarness) -> None:
        """B7: the prefix `run` is not the beginning of the folder `run7`."""
        harness.platform.add_volume("lab/run", "reads-bucket", prefix="run")
        harness.platform.add_volume("lab/reads", "reads-bucket")

        with pytest.raises(NotNow, match="under way"):
            harness.provider().submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))

        [record] = harness.platform.imports.values()
        assert record["source"] == {"volume": "lab/reads", "location": "run7/a.fastq"}

    def test_a_leading_slash_of_a_key_is_no_part_of_a_location(self, harness: SevenBridgesHarness) -> None:
        """B7."""
        harness.platform.add_volume("lab/reads", "reads-bucket", prefix="run7")

        with pytest.raises(NotNow, match="under way"):
            harness.provider().submit(harness.of({"sample": "x", "reads": file("s3://reads-bucket//run7/a.fastq")}))

        [record] = harness.platform.imports.values()
        assert record["source"]["location"] == "a.fastq"

    def test_an_inactive_volume_is_called_inactive(self, harness: SevenBridgesHarness) -> None:
        """B7."""
        harness.platform.add_volume("lab/reads", "reads-bucket", active=False)

        with pytest.raises(Rejected, match=r"the volume lab/reads.* is inactive: activate it"):
            harness.provider().submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))

    def test_an_active_volume_is_used_instead_of_an_inactive_one(self, harness: SevenBridgesHarness) -> None:
        harness.platform.add_volume("lab/former", "reads-bucket", prefix="run7", active=False)
        harness.platform.add_volume("lab/reads", "reads-bucket")

        with pytest.raises(NotNow, match="under way"):
            harness.provider().submit(harness.of({"sample": "x", "reads": file(ADDRESS)}))

    @pytest.mark.usefixtures("volume")
    @pytest.mark.parametrize(
        ("status", "code", "kind"), [(401, 90001, Misconfigured), (403, None, Misconfigured), (404, 9105, Rejected)]
    )
    def test_an_import_that_is_not_shown_does_not_start_again(
        self, harness: SevenBridgesHarness, status: int, code: int | None, kind: type[Exception]
    ) -> None:
        """B7."""
        provider, submission = harness.provider(), harness.of({"sample": "x", "reads": file(ADDRESS)})
        with pytest.raises(NotNow):
            provider.submit(submission)
        harness.platform.faults.add("get_import", refusing(status, code, "no"))

        with pytest.raises(kind):
            provider.submit(submission)

        assert harness.operations().count("start_import") == 1

    @pytest.mark.usefixtures("volume")
    def test_an_import_that_the_service_has_forgotten_starts_again(self, harness: SevenBridgesHarness) -> None:
        provider, submission = harness.provider(), harness.of({"sample": "x", "reads": file(ADDRESS)})
        with pytest.raises(NotNow):
            provider.submit(submission)
        harness.platform.imports.clear()

        with pytest.raises(NotNow, match="no longer known"):
            provider.submit(submission)
        with pytest.raises(NotNow, match="under way"):
            provider.submit(submission)

        assert len(harness.platform.imports) == 1
