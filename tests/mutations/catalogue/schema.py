"""Mutants of where tables are found and created, and of which commands may create them."""

import ast
from collections.abc import Sequence

from tests.mutations.changes import drop, replace, replace_text
from tests.mutations.mutant import Mutant, Variable
from tests.mutations.picks import call, calls, the
from wes_daemon import alembic_filter
from wes_daemon.adapters.persistence import engine, location
from wes_daemon.adapters.persistence.migrations import service_tables
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.entrypoints.cli import daemon, session

_LOCATION = "tests/integration/persistence/test_location.py"
_MIGRATIONS = "tests/integration/persistence/test_service_migrations.py"
_ENGINE = "tests/integration/persistence/test_engine.py"
_WAITING = "tests/unit/entrypoints/test_missing_tables_log.py"
_READING = "tests/functional/test_reading_changes_nothing.py"

SCHEMA: Sequence[Mutant] = (
    Mutant(
        name="found-runs-are-hidden",
        breaks="An upgrade creates empty tables in the first schema, and no run of the service is seen any more.",
        at=Variable(service_tables, service_tables._CREATE_IN_POSTGRESQL),
        change=replace_text(
            "is_found boolean := to_regclass('workflow_runs') IS NOT NULL", "is_found boolean := FALSE"
        ),
        tests=[f"{_LOCATION}::test_found_tables_in_a_later_schema_of_the_search_path_are_not_hidden_by_empty_ones"],
    ),
    Mutant(
        name="second-set-of-tables",
        breaks="Daemons with separate tables start each run once for each set of tables.",
        at=location.why_not_prepared,
        change=drop(call(location._second_set_problem)),
        tests=[f"{_LOCATION}::test_a_second_set_of_the_daemons_tables_for_the_same_runs_is_refused"],
    ),
    Mutant(
        name="missing-schemas-are-passed-over",
        breaks="Tables are created in another schema than the one that a search path names first.",
        at=location.why_not_prepared,
        change=drop(call(location.search_path_problem)),
        tests=[
            f"{_LOCATION}::test_a_search_path_of_schemas_that_do_not_exist_is_said_with_what_creates_them",
            f"{_LOCATION}::test_a_schema_that_the_role_may_not_use_is_said_instead_of_being_passed_over",
        ],
    ),
    Mutant(
        name="tables-of-a-service-are-created",
        breaks="The service's own migration fails, because the daemon has created its tables.",
        at=Schema._require_upgradable,
        change=drop(the(ast.Expr, calls(Schema._require_service_tables))),
        tests=[f"{_LOCATION}::test_tables_that_belong_to_a_service_are_not_created"],
    ),
    Mutant(
        name="schema-of-the-daemon-forgotten",
        breaks="Statements do not find the daemon's tables in the schema that DAEMON_SCHEMA names.",
        at=location.keep_daemon_tables_in,
        change=drop(the(ast.Assign)),
        tests=[f"{_LOCATION}::TestPersistenceInASchemaOfTheDaemon::test_a_run_waits_for_its_time"],
    ),
    Mutant(
        name="readers-upgrade",
        breaks="`list` of a newer version upgrades a database on which older daemons are at work.",
        at=session.reading_session,
        change=replace(call(Schema.require_head), "application.schema.upgrade()"),
        tests=[f"{_READING}::test_a_newer_client_does_not_upgrade_a_database_under_running_daemons"],
    ),
    Mutant(
        name="submit-upgrades",
        breaks="`submit` of a newer version upgrades a database on which older daemons are at work.",
        at=session.create_schema,
        change=replace(the(ast.If).part(lambda it: it.test), "True"),
        tests=[f"{_READING}::test_a_newer_client_does_not_upgrade_a_database_under_running_daemons"],
    ),
    Mutant(
        name="readers-change-the-journal-mode",
        breaks="`list` changes the SQLite file of a service.",
        at=engine._begin_sqlite,
        change=replace(the(ast.If).part(lambda it: it.test), "True"),
        tests=[f"{_ENGINE}::test_what_only_reads_does_not_change_the_mode_of_a_sqlite_file"],
    ),
    Mutant(
        name="waiting-fills-the-log",
        breaks="A daemon that waits for a service's tables logs a line every three seconds.",
        at=daemon.MissingTablesLog.awaited,
        change=replace(the(ast.If).part(lambda it: it.test), "True"),
        tests=[f"{_WAITING}::test_the_same_missing_tables_are_logged_once_and_then_that_they_have_appeared"],
    ),
    Mutant(
        name="filter-forgets-indexes",
        breaks="A generated migration of the service drops the daemon's indexes.",
        at=alembic_filter.include_object,
        change=replace(the(ast.IfExp).part(lambda it: it.orelse), "True"),
        tests=[f"{_MIGRATIONS}::test_a_service_that_changes_nothing_migrates_nothing"],
    ),
    Mutant(
        name="filter-hides-tables-of-the-service",
        breaks="Autogenerate misses a table that the service itself declares.",
        at=alembic_filter.include_object,
        change=drop(the(ast.UnaryOp, nth=0)),
        tests=[
            f"{_MIGRATIONS}::test_a_table_of_the_services_own_models_is_compared_even_if_the_daemon_has_one_of_that_name"
        ],
    ),
)
