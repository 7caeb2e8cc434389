"""How a run is stored, read and changed, whatever its row holds."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from tests.builders import NOON, a_request, a_run, an_attachment, some_details
from tests.contracts.persistence_harness import HOUR, MINUTE, PersistenceHarness, Race, ServiceRow, an_entry
from wes_daemon.adapters.memory.repository import summary_of
from wes_daemon.application.ports.errors import ConcurrentUpdate, RunNotFound
from wes_daemon.application.ports.providers import RunDetails
from wes_daemon.application.ports.runs import RunUpdate, TimelineEntry
from wes_daemon.domain.runs import Attachment, Run, RunId, RunSummary, TaskLog, Unreadable, task_id
from wes_daemon.domain.states import RunState

RUN_1 = RunId("run-1")


def add(store: PersistenceHarness, run: Run, *attachments: Attachment) -> None:
    """Store a new run."""
    with store.units() as unit:
        unit.runs.add(run, attachments=attachments, entry=an_entry(run, "created"))
        unit.commit()


def save(store: PersistenceHarness, before: Run, after: Run, entry: TimelineEntry | None = None) -> None:
    """Write one change."""
    with store.units() as unit:
        unit.runs.write([RunUpdate(before=before, after=after, entry=entry or an_entry(after))])
        unit.commit()


def write(store: PersistenceHarness, *verbs: Callable[[RunSummary], RunUpdate]) -> None:
    """Write what each makes of its run in turn, `run-1` first, all in one unit of work."""
    ids = [RunId(f"run-{number}") for number, _ in enumerate(verbs, start=1)]
    with store.units() as unit:
        rows = unit.runs.get_summaries(ids)
        unit.runs.write([verb(rows[id]) for id, verb in zip(ids, verbs, strict=True)])
        unit.commit()


def described(details: RunDetails, *tasks: TaskLog) -> Callable[[RunSummary], RunUpdate]:
    """News of outputs and tasks."""
    return lambda run: RunUpdate(before=run, after=run, details=details, tasks=tasks)


def said(status: str, message: str) -> Callable[[RunSummary], RunUpdate]:
    """News of the provider's own words."""
    return lambda run: RunUpdate(before=run, after=run, provider_status=status, provider_message=message)


def a_task(id: str, **changes: object) -> TaskLog:
    """A task log of run 1."""
    return TaskLog(id=task_id(RUN_1, id), name=id, **changes)  # type: ignore[arg-type]


class RunRules:
    """`RunRepository`."""

    def test_a_run_is_read_as_it_was_added(self, store: PersistenceHarness) -> None:
        request = a_request(
            workflow_params={"reads": ["a", 1, 2.5, None, {"deep": "grün 🧬"}]},
            workflow_engine="cwltool",
            workflow_engine_version="3.1",
            workflow_engine_parameters={"--parallel": True},
        )
        run = a_run(request=request, tags={"project": "p"}, start_time=NOON, end_time=NOON + MINUTE)

        add(store, run)

        assert store.run("run-1") == run

    def test_times_are_kept_as_moments_whatever_their_zone(self, store: PersistenceHarness) -> None:
        elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))

        add(store, a_run(start_time=elsewhere))

        assert store.run("run-1").start_time == NOON
        assert store.row("run-1").start_time == NOON

    def test_attachments_come_in_the_order_of_their_names(self, store: PersistenceHarness) -> None:
        main, tool = an_attachment("main.cwl", b"\x00\xff"), an_attachment("lib/tool.cwl", b"")

        add(store, a_run(), main, tool)

        with store.units() as unit:
            assert list(unit.runs.attachments(RUN_1)) == [tool, main]
            assert list(unit.runs.attachments(RunId("unknown"))) == []

    def test_a_note_about_a_deleted_run_keeps_the_last_state_of_its_timeline(self, store: PersistenceHarness) -> None:
        store.accepted("run-1")
        row = store.row("run-1")
        store.remove("run-1")
        store.put(ServiceRow(run_id="run-2"))

        with store.units() as unit:
            unit.runs.note_deleted({RUN_1: "deleted", RunId("run-2"): "never seen"}, at=NOON, by="a test")
            unit.runs.note_deleted({}, at=NOON, by="a test")
            unit.commit()

        store.put(row)
        last = store.queries.get(RUN_1).timeline[-1]
        assert (last.why, last.by, last.before, last.after) == ("deleted", "a test", last.after, RunState.QUEUED)
        [only] = store.queries.get(RunId("run-2")).timeline
        assert (only.before, only.after) == (RunState.UNKNOWN, RunState.UNKNOWN)

    def test_a_store_is_empty_while_no_run_has_a_row(self, store: PersistenceHarness) -> None:
        with store.units() as unit:
            before = unit.runs.is_empty()
        store.queue("run-1")

        with store.units() as unit:
            assert (before, unit.runs.is_empty()) == (True, False)

    @pytest.mark.parametrize("id", ["unknown", "", "run\0", "run-1 ", "'; --", "x" * 40])
    def test_a_run_that_nobody_stored_is_not_found(self, store: PersistenceHarness, id: str) -> None:
        store.queue("run-1")

        with store.units() as unit, pytest.raises(RunNotFound):
            unit.runs.get(RunId(id))

    @pytest.mark.parametrize("id", ["Ünï 🧬", "a'b\"c%s{}:x", "x" * 36, " "])
    def test_an_id_may_be_any_text(self, store: PersistenceHarness, id: str) -> None:
        store.queue(id)
        store.enrol()

        [claimed] = store.claim()

        with store.units() as unit:
            assert unit.runs.get(claimed.run.id).id == id

    def test_a_saved_change_is_what_the_service_reads(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        before = store.run("run-1")

        save(store, before, replace(before, state=RunState.SYSTEM_ERROR, tags={"error": "no"}, end_time=NOON))

        row = store.row("run-1")
        assert (row.state, store.tags("run-1"), row.end_time) == ("SYSTEM_ERROR", {"error": "no"}, NOON)

    def test_saving_writes_only_what_differs(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"kept": "by the service"}'))
        before = replace(store.run("run-1"), tags={"as": "we knew them"})

        save(store, before, replace(before, state=RunState.CANCELING))

        assert store.tags("run-1") == {"kept": "by the service"}
        assert store.row("run-1").state == "CANCELING"

    def test_a_run_that_is_read_and_saved_in_one_unit_of_work_loses_no_tag_of_the_service(
        self, store: PersistenceHarness
    ) -> None:
        store.queue("run-1")
        store.put(ServiceRow(run_id="run-1", tags='{"new": "tag"}'))

        with store.units() as unit:
            before = unit.runs.get(RUN_1)
            unit.runs.write([RunUpdate(before=before, after=before.rejected("no", NOON), entry=an_entry(before))])
            unit.commit()

        assert store.tags("run-1") == {"new": "tag", "error": "no"}

    def test_two_that_read_and_save_a_run_at_once_lose_nothing_of_each_other(self, store: PersistenceHarness) -> None:
        store.queue("run-1")
        race = Race(2, store.moment)

        def add_tag(number: int) -> None:
            with store.units() as unit:
                before = unit.runs.get(RUN_1)
                race.together()
                assert isinstance(before.tags, dict)
                unit.runs.write(
                    [
                        RunUpdate(
                            before=before,
                            after=replace(before, tags={**before.tags, f"tag-{number}": 1}),
                            entry=an_entry(before),
                        )
                    ]
                )
                unit.commit()

        race.run(add_tag)

        assert store.tags("run-1") == {"tag-0": 1, "tag-1": 1}

    def test_a_run_whose_row_is_gone_is_not_saved(self, store: PersistenceHarness) -> None:
        before = a_run()

        with pytest.raises(ConcurrentUpdate):
            save(store, before, replace(before, state=RunState.INITIALIZING))

    def test_the_timeline_tells_what_happened_in_order(self, store: PersistenceHarness) -> None:
        add(store, a_run())
        entry = TimelineEntry(
            at=NOON + HOUR,
            before=RunState.QUEUED,
            after=RunState.QUEUED,
            by="daemon-1",
            why="still waiting",
            provider_status="PENDING",
        )

        save(store, a_run(), a_run(), entry)

        created, waiting = store.queries.get(RUN_1).timeline
        assert (created.why, waiting) == ("created", entry)

    def test_details_are_kept_and_the_later_ones_win(self, store: PersistenceHarness) -> None:
        add(store, a_run())
        later = RunDetails(
            outputs={"answer": {"class": "File"}}, stdout="s3://out", stderr="s3://err", exit_code=1, system_logs=["a"]
        )

        write(store, described(some_details()))
        write(store, described(later))

        found = store.queries.get(RUN_1).details
        assert replace(found, system_logs=list(found.system_logs)) == later

    def test_a_task_log_with_a_known_id_is_updated_in_place(self, store: PersistenceHarness) -> None:
        add(store, a_run())
        done = a_task(
            "align",
            cmd=("bwa", "mem"),
            start_time=NOON,
            end_time=NOON + MINUTE,
            stdout="s3://out",
            exit_code=0,
            system_logs=("ok",),
        )

        write(store, described(some_details(), a_task("align", start_time=NOON)))
        write(store, described(some_details(), done, a_task("sort", start_time=NOON + MINUTE)))

        assert list(store.queries.get(RUN_1).tasks) == [done, a_task("sort", start_time=NOON + MINUTE)]

    def test_the_providers_own_latest_word_is_kept_beside_the_run(self, store: PersistenceHarness) -> None:
        add(store, a_run(request=a_request(workflow_engine_parameters={"a": 1})))

        write(store, said("PENDING", ""))
        write(store, said("STARTING", "pulling the image"))

        found = store.queries.get(RUN_1)
        assert (found.provider_status, found.provider_message) == ("STARTING", "pulling the image")
        assert found.run.request.engine_parameters == {"a": 1}

    def test_many_are_read_at_once_and_those_without_a_row_are_absent(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2", "run-3")

        with store.units() as unit:
            found = unit.runs.get_summaries([RunId("run-2"), RunId("unknown"), RUN_1])
            none = unit.runs.get_summaries([])

        assert found == {id: summary_of(store.run(id)) for id in ("run-1", "run-2")}
        assert none == {}

    def test_rows_are_read_without_a_lock_as_with_one(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")

        with store.units() as unit:
            found = unit.runs.read_summaries([RunId("run-2"), RunId("unknown"), RUN_1])

        assert found == {id: summary_of(store.run(id)) for id in ("run-1", "run-2")}

    def test_of_many_each_gets_what_is_its_own(self, store: PersistenceHarness) -> None:
        """Whatever differs: the state, the times in any zone, the tags."""
        store.queue("run-1", "run-2", "run-3", "run-4")
        store.put(ServiceRow(run_id="run-3", tags='{"kept": "by the service"}'))
        elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))

        write(
            store,
            lambda run: RunUpdate(
                before=run, after=replace(run, state=RunState.INITIALIZING), entry=an_entry(run, "first")
            ),
            lambda run: RunUpdate(before=run, after=replace(run, state=RunState.RUNNING, start_time=elsewhere)),
            lambda run: RunUpdate(before=run, after=run.rejected("no 🧬", NOON), entry=an_entry(run, "third")),
            lambda run: RunUpdate(before=run, after=run, provider_status="PENDING", provider_message="waits"),
        )

        first, second, third, fourth = (store.queries.get(RunId(f"run-{number}")) for number in (1, 2, 3, 4))
        assert (first.run.state, [entry.why for entry in first.timeline]) == (RunState.INITIALIZING, ["first"])
        assert (second.run.state, second.run.start_time, list(second.timeline)) == (RunState.RUNNING, NOON, [])
        assert (third.run.state, third.run.end_time) == (RunState.SYSTEM_ERROR, NOON)
        assert store.row("run-3").end_time == NOON
        assert store.tags("run-3") == {"kept": "by the service", "error": "no 🧬"}
        assert (fourth.run.state, fourth.provider_status, fourth.provider_message) == (
            RunState.QUEUED,
            "PENDING",
            "waits",
        )

    def test_of_many_that_are_written_nobody_else_changes_one_meanwhile(self, store: PersistenceHarness) -> None:
        store.queue("run-1", "run-2")
        race = Race(2, store.moment)

        def add_tag(number: int) -> None:
            ids = [RUN_1, RunId("run-2")]
            while ids:
                with store.units() as unit:
                    # Asked for the other way round: two who lock the same rows must not wait for each other for ever.
                    rows = unit.runs.get_summaries(ids if number else ids[::-1]).values()
                    race.together()
                    tagged = [replace(run, tags={**run.tag_values, f"tag-{number}": 1}) for run in rows]
                    unit.runs.write([RunUpdate(before=old, after=new) for old, new in zip(rows, tagged, strict=True)])
                    unit.commit()
                # A row that the other one has locked is absent, and is asked for again.
                ids = [id for id in ids if id not in {run.id for run in rows}]

        race.run(add_tag)

        assert store.tags("run-1") == store.tags("run-2") == {"tag-0": 1, "tag-1": 1}


class StoredValueRules:
    """What a column may hold, and what is done about what it cannot."""

    @pytest.mark.parametrize(("stored", "read"), [(None, {}), ("null", {}), ("[1, 2]", [1, 2]), ("7", 7)])
    def test_json_that_is_no_object_is_kept_as_it_is_and_null_is_empty(
        self, store: PersistenceHarness, stored: str | None, read: object
    ) -> None:
        store.put(ServiceRow(run_id="run-1", workflow_params=stored, tags=stored))

        run = store.run("run-1")

        assert (run.request.workflow_params, run.tags) == (read, read)

    @pytest.mark.parametrize("stored", ["{broken", "", '{"a": NaN}', "[" * 100_000])
    def test_text_that_is_no_json_is_read_as_unreadable(self, store: PersistenceHarness, stored: str) -> None:
        if not store.holds_any_text:
            pytest.skip("this store's columns for JSON hold nothing else")
        store.put(ServiceRow(run_id="run-1", workflow_params=stored, tags=stored))
        store.enrol()

        [claimed] = store.claim()

        assert (claimed.run.request.workflow_params, claimed.run.tags) == (Unreadable(stored), Unreadable(stored))

    def test_tags_that_are_no_object_become_one_when_they_are_written(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags="[1]"))
        before = store.run("run-1")

        save(store, before, before.rejected("no", NOON))

        assert store.tags("run-1") == {"unreadable_tags": [1], "error": "no"}

    def test_tags_that_are_no_object_become_one_when_many_are_written(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags="[1]"))
        store.put(ServiceRow(run_id="run-2", tags="null"))

        write(
            store,
            lambda run: RunUpdate(before=run, after=run.rejected("no", NOON)),
            lambda run: RunUpdate(before=run, after=run.rejected("nor this", NOON)),
        )

        assert store.tags("run-1") == {"unreadable_tags": [1], "error": "no"}
        assert store.tags("run-2") == {"error": "nor this"}

    def test_a_word_that_is_no_state_is_read_as_unknown_and_left_alone(self, store: PersistenceHarness) -> None:
        if not store.holds_any_state:
            pytest.skip("this store knows states, and no other words")
        store.put(ServiceRow(run_id="run-1", state="SLEEPING"))

        assert store.run("run-1").state is RunState.UNKNOWN
        assert store.enrol() == 0
        assert store.row("run-1").state == "SLEEPING"

    def test_who_holds_a_run_is_never_told_by_its_tags(self, store: PersistenceHarness) -> None:
        store.put(ServiceRow(run_id="run-1", tags='{"provider_type": "local", "provider_id": "copied"}'))
        store.enrol()

        run = store.run("run-1")

        assert (run.provider, run.provider_run_id) == (None, None)

    def test_a_run_in_a_state_that_is_none_of_ours_can_be_moved_on(self, store: PersistenceHarness) -> None:
        if not store.holds_any_state:
            pytest.skip("this store knows states, and no other words")
        store.put(ServiceRow(run_id="run-1", state="PROCESSING"))
        before = store.run("run-1")

        save(store, before, replace(before, state=RunState.COMPLETE, end_time=NOON))

        assert store.row("run-1").state == "COMPLETE"

    def test_json_that_is_nested_too_deep_to_be_written_again_is_unreadable(self, store: PersistenceHarness) -> None:
        if not store.has_widths:
            pytest.skip("this store keeps values, not text")
        nested = "[" * 600 + "]" * 600
        store.put(ServiceRow(run_id="run-1", tags=f'{{"deep": {nested}}}'))

        assert isinstance(store.run("run-1").tags, Unreadable)

    def test_text_that_is_longer_than_its_column_is_cut_with_a_mark(self, store: PersistenceHarness) -> None:
        if not store.has_widths:
            pytest.skip("this store takes text of any length")
        add(store, a_run(request=a_request(workflow_url="u" * 501, workflow_type="t" * 50)))
        write(store, described(some_details(), a_task("t", stdout="s" * 600)))

        request = store.run("run-1").request
        assert (request.workflow_url, request.workflow_type) == ("u" * 499 + "…", "t" * 50)
        assert store.queries.get(RUN_1).tasks[0].stdout == "s" * 499 + "…"

    @pytest.mark.parametrize("nasty", ["nul \0 inside", "lone \ud800 surrogate"])
    def test_text_that_no_database_can_hold_is_marked_and_stored(self, store: PersistenceHarness, nasty: str) -> None:
        run = a_run(request=a_request(workflow_params={nasty: [nasty]}), tags={nasty: nasty})
        add(store, run)
        with store.units() as unit:
            unit.runs.write([RunUpdate(before=run, after=run.rejected(nasty, NOON), entry=an_entry(run, nasty))])
            unit.commit()
        write(store, said(nasty, nasty))
        write(store, described(some_details({nasty: nasty}), a_task("t", cmd=(nasty,), stdout=nasty)))

        found = store.queries.get(RUN_1)
        assert "inside" in found.provider_message or "surrogate" in found.provider_message
        assert json.loads(store.row("run-1").tags or "")["error"] == found.run.error

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_a_number_that_is_no_json_does_not_break_the_row(self, store: PersistenceHarness, number: float) -> None:
        add(store, a_run(tags={"number": number}))

        assert "number" in str(store.tags("run-1"))
        assert isinstance(store.run("run-1").tags, dict)
