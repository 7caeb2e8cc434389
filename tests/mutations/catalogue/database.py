"""Mutants of the other SQL: the poll schedule, the work probes, run rows, SQL expressions, transactions, indexes."""

import ast
from collections.abc import Sequence

from sqlalchemy import or_

from tests.mutations.changes import drop, in_turn, replace, replace_text
from tests.mutations.mutant import Mutant, Variable
from tests.mutations.picks import argument, call, constant, holds, receiver, the, uses
from wes_daemon.adapters.persistence import engine, errors, expressions, work_probe
from wes_daemon.adapters.persistence.expressions import in_locked_rows, is_one_of, of_same_run, pair_in_list, store_now
from wes_daemon.adapters.persistence.late_updates import SqlLateUpdates
from wes_daemon.adapters.persistence.migrations.versions import r0004_fast_and_cheap
from wes_daemon.adapters.persistence.polls import (
    SqlPollSchedule,
    _finish_statement,
    _is_deleted_and_to_cancel,
    _record_changed_statement,
    _reschedule_statement,
    _select_due,
    _select_to_cancel,
    _undecided,
)
from wes_daemon.adapters.persistence.repository import SqlRunRepository, _locked_summaries
from wes_daemon.adapters.persistence.tables import daemons, late_updates, polls
from wes_daemon.adapters.persistence.unit_of_work import SqlUnitOfWork

_SQL = "tests/integration/persistence/test_contract.py::TestSqlPersistence"
_PLANS = "tests/integration/persistence/test_plans.py::test_no_statement_goes_through_what_has_ended"
_LOCKED = "tests/integration/persistence/test_locked_rows.py"
_RACES = "tests/integration/persistence/test_races.py"
_PROBE = "tests/integration/persistence/test_work_probe.py::TestSqlWorkProbe"
_ENGINE = "tests/integration/persistence/test_engine.py"
_ERRORS = "tests/integration/persistence/test_errors.py"
_ANSWERS = "tests/integration/persistence/test_answers.py"

_SCHEDULE: Sequence[Mutant] = (
    Mutant(
        name="late-answers-count-in-sql",
        breaks="A daemon that was too slow reschedules a run that another daemon is polling.",
        at=_reschedule_statement,
        change=drop(the(ast.Compare, uses(polls.c.poll_seq))),
        tests=[f"{_SQL}::test_a_late_answer_leaves_alone_what_was_taken_by_another"],
    ),
    Mutant(
        name="late-moves-count-in-sql",
        breaks="A daemon that was too slow overwrites a newer status that another daemon has recorded.",
        at=_record_changed_statement,
        change=drop(the(ast.Compare, uses(polls.c.poll_seq))),
        tests=[f"{_SQL}::test_of_many_answers_the_late_ones_are_left_out"],
    ),
    Mutant(
        name="late-ends-count-in-sql",
        breaks="A daemon that was too slow removes a run from the schedule that another daemon is polling.",
        at=_finish_statement,
        change=drop(call(pair_in_list)),
        tests=[f"{_SQL}::test_of_many_answers_the_late_ones_are_left_out"],
    ),
    Mutant(
        name="hints-push-back-what-is-due-in-sql",
        breaks="Each further hint delays the next poll of a run that has ended.",
        at=SqlPollSchedule.make_due,
        change=replace(argument(polls.c.next_check_at), "now()", now=store_now),
        tests=[f"{_SQL}::test_what_is_due_already_keeps_its_place_when_it_is_hurried"],
    ),
    Mutant(
        name="picked-without-locks",
        breaks="Daemons that select due runs at once all select the same ones.",
        at=SqlPollSchedule.lease_due,
        change=replace(call("with_for_update"), receiver),
        tests=[f"{_RACES}::test_daemons_that_look_at_once_do_not_wait_for_each_other"],
    ),
    Mutant(
        name="locked-rows-are-waited-for",
        breaks="Daemons that select due runs at once wait for each other instead of sharing the work.",
        at=SqlPollSchedule.lease_due,
        change=drop(argument("skip_locked")),
        tests=[f"{_RACES}::test_daemons_that_look_at_once_do_not_wait_for_each_other"],
    ),
    Mutant(
        name="held-runs-are-taken",
        breaks="Several daemons poll the same runs at the same time.",
        at=_select_due,
        change=drop(call(or_, uses(polls.c.held_until))),
        tests=[f"{_SQL}::test_what_is_taken_ahead_of_its_time_is_not_held_for_longer"],
    ),
    Mutant(
        name="ended-runs-are-cancelled",
        breaks="A cancellation is sent for a run that has ended at its provider.",
        at=_select_to_cancel,
        change=drop(the(ast.Call, uses(polls.c.known_state))),
        tests=[f"{_SQL}::test_a_run_that_has_ended_at_its_provider_is_not_cancelled"],
    ),
    Mutant(
        name="kept-runs-are-cancelled-later",
        breaks="Runs whose rows vanished by accident are cancelled as soon as few of them are left.",
        at=_undecided,
        change=drop(the(ast.Call, uses(polls.c.row_missing_since))),
        tests=[f"{_SQL}::test_a_run_that_is_kept_although_its_row_was_deleted_is_not_given"],
    ),
    Mutant(
        name="absence-begins-anew",
        breaks="A run that its provider has forgotten is never ended: each poll resets the time of its absence.",
        at=SqlPollSchedule.record_missing,
        change=replace(call("coalesce"), lambda it: it.args[1]),
        tests=[f"{_SQL}::test_it_is_counted_how_long_a_provider_has_not_known_a_run"],
    ),
    Mutant(
        name="state-looked-up-by-a-join",
        breaks="The search for runs that a service has ended reads all runs that have ever ended.",
        at=_select_to_cancel,
        change=in_turn(
            # Beside it in an OR, the join would be one of all rows with all rows.
            drop(call(_is_deleted_and_to_cancel)),
            replace(
                call(is_one_of),
                "(columns.run_id == key) & _",
                columns=call(of_same_run).part(lambda it: it.args[0]).the(ast.Attribute),
                key=call(of_same_run).part(lambda it: it.args[1]),
            ),
            replace(call(of_same_run), lambda it: it.args[0]),
        ),
        tests=[f"{_PLANS}[postgresql-nothing to cancel]"],
    ),
)

_ROWS: Sequence[Mutant] = (
    Mutant(
        name="many-not-locked-in-sql",
        breaks="Two transactions read and write the same runs, and one undoes the changes of the other.",
        at=_locked_summaries,
        change=replace(call("with_for_update"), receiver),
        tests=[f"{_SQL}::test_of_many_that_are_written_nobody_else_changes_one_meanwhile"],
    ),
    Mutant(
        name="rows-locked-by-a-service-are-waited-for",
        breaks="All runs wait for one row that somebody keeps locked in an open transaction.",
        at=_locked_summaries,
        change=drop(argument("skip_locked")),
        tests=[f"{_LOCKED}::test_cancelled_runs_end_although_one_row_is_locked"],
    ),
    Mutant(
        name="rows-referred-to-count-as-locked",
        breaks="A service that inserts a task log keeps the daemon from writing the run's row.",
        at=_locked_summaries,
        change=drop(argument("key_share")),
        tests=[f"{_LOCKED}::test_a_row_that_another_table_refers_to_is_not_locked_by_that"],
    ),
    Mutant(
        name="late-updates-added-since-are-lost",
        breaks="A change that is recorded while an earlier one is written never reaches the run's row.",
        at=SqlLateUpdates.remove,
        change=replace(call(late_updates.c.seq.in_), "late_updates.c.run_id == each.run_id"),
        tests=[f"{_SQL}::test_what_came_after_it_was_read_is_not_removed"],
    ),
    Mutant(
        name="row-read-without-its-lock",
        breaks="Two transactions read and save a run at once, and one overwrites the tags of the other.",
        at=SqlRunRepository.get,
        change=drop(call(SqlRunRepository._lock)),
        tests=[f"{_SQL}::test_two_that_read_and_save_a_run_at_once_lose_nothing_of_each_other"],
    ),
)

_EXPRESSIONS: Sequence[Mutant] = (
    Mutant(
        name="rows-that-seem-many",
        breaks="The selection of one page of due runs reads the whole schedule.",
        at=expressions,
        change=replace(
            the(ast.JoinedStr, holds("ANY (ARRAY[")),
            "inner",
            inner=the(ast.JoinedStr, holds("ANY (ARRAY[")).the(ast.FormattedValue).part(lambda it: it.value),
        ),
        tests=["tests/integration/persistence/test_few_of_many.py::test_a_page_costs_a_page"],
    ),
    Mutant(
        name="cancellations-picked-without-locks",
        breaks="Daemons that select runs to cancel at once wait for each other and cancel the same ones.",
        at=in_locked_rows,
        change=replace(call("with_for_update"), receiver),
        tests=[f"{_RACES}::test_daemons_that_look_at_once_do_not_wait_for_each_other"],
    ),
    Mutant(
        name="locked-cancellations-are-waited-for",
        breaks="Daemons that select runs to cancel at once wait for each other instead of sharing the work.",
        at=in_locked_rows,
        change=drop(argument("skip_locked")),
        tests=[f"{_RACES}::test_daemons_that_look_at_once_do_not_wait_for_each_other"],
    ),
    Mutant(
        name="limit-in-a-subquery",
        breaks="A LIMIT that the server evaluates repeatedly selects too many runs.",
        at=in_locked_rows,
        change=replace(
            call(expressions._InLockedRows),
            "key.in_(locked)",
            key=call(expressions._InLockedRows).part(lambda it: it.args[0]),
            locked=call("cte").part(receiver),
        ),
        tests=[f"{_RACES}::test_a_limit_holds_whatever_plan_the_server_makes"],
    ),
    Mutant(
        name="time-stands-still-in-a-transaction",
        breaks="A transaction that has waited for a lock uses the time at its start, when an expired lease was valid.",
        at=expressions,
        change=replace_text("(statement_timestamp() +", "(now() +"),
        tests=[f"{_ENGINE}::test_whoever_has_waited_in_a_transaction_goes_by_the_time_that_it_is_then"],
    ),
)

_PROBES: Sequence[Mutant] = (
    Mutant(
        name="probe-overlooks-runs-made-active-again",
        breaks="A run that its service has made active again is never followed, because no pass begins.",
        at=work_probe._to_follow,
        change=replace(call(or_), lambda it: it.args[0]),
        tests=[_PROBE],
    ),
    Mutant(
        name="probe-overlooks-deleted-rows",
        breaks="A run whose row was deleted continues at its provider and costs money, because no pass begins.",
        at=work_probe._ended_while_followed,
        change=replace(call(or_), lambda it: it.args[0]),
        tests=[_PROBE],
    ),
    Mutant(
        name="probe-trusts-expired-daemons",
        breaks="The runs that a daemon had claimed when it died are never taken over, because no pass begins.",
        at=work_probe._takeovers,
        change=replace(call("where", uses(daemons.c.lease_until)), receiver),
        tests=[_PROBE],
    ),
)

_TRANSACTIONS: Sequence[Mutant] = (
    Mutant(
        name="transactions-begin-as-readers",
        breaks="On SQLite, processes that write at once refuse each other.",
        at=engine._begin_sqlite,
        change=replace(the(ast.IfExp), lambda it: it.orelse),
        tests=[f"{_ENGINE}::test_whoever_may_write_has_the_write_lock_of_sqlite_from_the_start"],
    ),
    Mutant(
        name="commits-that-power-may-undo",
        breaks="A loss of power undoes what SQLite has committed, for example the acceptance of a run.",
        at=engine._prepare_sqlite,
        change=replace_text("synchronous=FULL", "synchronous=NORMAL"),
        tests=[f"{_ENGINE}::test_what_sqlite_has_committed_survives_a_loss_of_power"],
    ),
    Mutant(
        name="old-snapshots",
        breaks="On PostgreSQL, a transaction that has waited for a lock counts the rows from before.",
        at=engine._postgresql_engine,
        change=replace(argument("isolation_level"), '"REPEATABLE READ"'),
        tests=[f"{_ENGINE}::test_what_postgresql_has_waited_for_is_seen_afterwards"],
    ),
    Mutant(
        name="replica-kept",
        breaks="Connections to a server that has become a replica stay in use, and nothing can be written.",
        at=Variable(errors, errors._LOST_CODES),
        change=drop(constant("25006")),
        tests=[f"{_ANSWERS}::test_a_server_that_became_a_replica_is_left_for_a_new_connection"],
    ),
    Mutant(
        name="deadlock-is-an-outage",
        breaks="A deadlock between two transactions counts as a database outage.",
        at=Variable(errors, errors._CONTENDED_CODES),
        change=replace(call(frozenset), "frozenset()"),
        tests=[f"{_ERRORS}::TestPostgreSQLThatRefuses::test_of_two_that_wait_for_each_other_one_is_told_to_try_again"],
    ),
    Mutant(
        name="committed-later",
        breaks="A unit of work reports a commit and rolls back.",
        at=SqlUnitOfWork.commit,
        change=drop(call("commit")),
        tests=[f"{_SQL}::test_a_run_is_read_as_it_was_added"],
    ),
    Mutant(
        name="no-index-on-the-schedule",
        breaks="The search for due runs reads all runs that are followed.",
        at=r0004_fast_and_cheap.upgrade,
        change=drop(the(ast.stmt, holds("polls_due"))),
        tests=[f"{_PLANS}[sqlite-nothing to refresh]"],
    ),
)

DATABASE: Sequence[Mutant] = (*_SCHEDULE, *_ROWS, *_EXPRESSIONS, *_PROBES, *_TRANSACTIONS)
