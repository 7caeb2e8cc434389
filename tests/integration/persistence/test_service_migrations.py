"""The migrations that Alembic generates for a service whose database the daemon's tables share."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    inspect,
    text,
)

from tests.integration.conftest import Database
from tests.integration.persistence.conftest import disposed
from tests.integration.persistence.test_schema import service_of
from wes_daemon import alembic_filter
from wes_daemon.adapters.persistence.engine import make_engine
from wes_daemon.adapters.persistence.location import VERSION_TABLE
from wes_daemon.adapters.persistence.schema import Schema
from wes_daemon.adapters.persistence.tables import daemon_metadata

PAGE = Path(__file__).parents[3] / "docs" / "database.md"

_ENV = """
from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], target_metadata=given["metadata"], **given["options"])
with context.begin_transaction():
    context.run_migrations()
"""


def documented_filter() -> Callable[..., bool]:
    """The function that the page shows for services that do not install this package."""
    [block] = re.findall(r"^```python\n(WES_DAEMON_TABLES.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    found: Callable[..., bool] = names["include_object"]
    return found


class Service:
    """A service with models and Alembic migrations of its own."""

    def __init__(self, engine: Engine, folder: Path, **options: object) -> None:
        self.metadata = models()
        self._engine = engine
        self._options = options
        self._config = Config(folder / "alembic.ini")
        command.init(self._config, str(folder / "migrations"))
        (folder / "migrations" / "env.py").write_text(_ENV)
        self._versions = folder / "migrations" / "versions"
        self._config.set_main_option("script_location", str(folder / "migrations"))
        self._config.set_main_option("path_separator", "os")

    def migrate(self) -> str:
        """`flask db migrate` and `flask db upgrade`: the body of the generated function `upgrade`."""
        before = set(self._versions.glob("*.py"))
        self._run(command.revision, autogenerate=True)
        [made] = set(self._versions.glob("*.py")) - before
        self._run(command.upgrade, "head")
        [body] = re.findall(r"def upgrade\(\).*?(?=def downgrade)", made.read_text(), re.DOTALL)
        return str(body)

    def _run(self, function: Callable[..., object], *arguments: object, **keywords: object) -> None:
        with service_of(self._engine) as connection:
            attributes: Mapping[str, object] = {
                "connection": connection,
                "metadata": self.metadata,
                "options": {"compare_type": True, **self._options},
            }
            self._config.attributes.update(attributes)
            function(self._config, *arguments, **keywords)


def models() -> MetaData:
    """A service's models: the tables that it shares with the daemon, and one whose name is similar to the daemon's."""
    metadata = MetaData()
    Table(
        "workflow_runs",
        metadata,
        Column("run_id", String(36), primary_key=True),
        Column("state", String(20), nullable=False, index=True),
        Column("workflow_params", JSON),
        Column("workflow_type", String(50), nullable=False),
        Column("workflow_type_version", String(20), nullable=False),
        Column("workflow_engine", String(50)),
        Column("workflow_engine_version", String(20)),
        Column("workflow_url", String(500), nullable=False),
        Column("tags", JSON),
        Column("start_time", DateTime),
        Column("end_time", DateTime),
    )
    Table(
        "task_logs",
        metadata,
        Column("id", String(36), primary_key=True),
        Column("run_id", String(36), ForeignKey("workflow_runs.run_id")),
        Column("name", String(200), nullable=False),
        Column("cmd", JSON),
        Column("start_time", DateTime),
        Column("end_time", DateTime),
        Column("stdout", String(500)),
        Column("stderr", String(500)),
        Column("exit_code", Integer),
        Column("system_logs", JSON),
    )
    Table("submissions_archive", metadata, Column("id", Integer, primary_key=True), Column("note", String(50)))
    return metadata


@pytest.fixture(params=[None, "daemon"])
def engine(request: pytest.FixtureRequest, empty_database: Database) -> Iterator[Engine]:
    """An engine on an empty database, and on PostgreSQL also one whose daemon's tables have a schema of their own."""
    if request.param and empty_database.kind == "sqlite":
        pytest.skip("SQLite has no schemas")
    with disposed(make_engine(empty_database.uri, connections=5, daemon_schema=request.param)) as engine:
        yield engine


@pytest.fixture(params=[False, True])
def service(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Service:
    """A service that was installed first, and whose tables a daemon has then prepared."""
    if request.param and engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no schemas")
    service = Service(engine, tmp_path, include_object=alembic_filter.include_object, include_schemas=request.param)
    service.migrate()
    Schema(engine).upgrade()
    return service


def test_a_service_that_changes_nothing_migrates_nothing(service: Service, engine: Engine) -> None:
    assert "pass" in service.migrate()

    Schema(engine).check()


def test_a_change_of_a_service_is_found_and_nothing_of_the_daemon_is_dropped(service: Service, engine: Engine) -> None:
    before = indexes(engine)
    runs = service.metadata.tables["workflow_runs"]
    runs.append_column(Column("user_id", String(50)))
    runs.indexes.remove(next(iter(runs.indexes)))
    Index("ix_workflow_runs_url", runs.c.workflow_url)
    service.metadata.remove(service.metadata.tables["submissions_archive"])

    migration = service.migrate()

    changes = re.findall(r"op\.(\w+)\('?([\w.(']*)", migration)
    assert sorted(name for name, _ in changes if name not in ("f", "batch_alter_table")) == [
        "add_column",
        "create_index",
        "drop_index",
        "drop_table",
    ]
    assert ("drop_table", "submissions_archive") in {(name, of.strip("'")) for name, of in changes}
    assert {name for name in indexes(engine) if name.startswith("wes_daemon_")} == {
        name for name in before if name.startswith("wes_daemon_")
    }
    Schema(engine).check()


def test_a_table_of_the_services_own_models_is_compared_even_if_the_daemon_has_one_of_that_name(
    empty_database: Database, tmp_path: Path
) -> None:
    with disposed(make_engine(empty_database.uri, connections=2)) as engine:
        service = Service(engine, tmp_path, include_object=alembic_filter.include_object)
        polls = Table("polls", service.metadata, Column("id", Integer, primary_key=True))
        service.migrate()
        polls.append_column(Column("question", String(50)))

        assert "add_column('polls'" in service.migrate()


def test_without_the_filter_the_service_would_drop_the_daemons_tables(empty_database: Database, tmp_path: Path) -> None:
    with disposed(make_engine(empty_database.uri, connections=2)) as engine:
        service = Service(engine, tmp_path)
        service.migrate()
        Schema(engine).upgrade()

        assert "drop_table('submissions')" in service.migrate()


def test_the_filter_knows_every_table_and_index_of_the_daemon(empty_engine: Engine) -> None:
    Schema(empty_engine).upgrade()

    on_service_tables = {name for name in indexes(empty_engine) if not name.endswith("_pkey")}

    assert {*daemon_metadata.tables, VERSION_TABLE} == alembic_filter.TABLES
    assert [name for name in on_service_tables if not name.startswith(alembic_filter.INDEX_PREFIX)] == []


@pytest.mark.parametrize("type_", ["table", "column", "index", "unique_constraint", "foreign_key_constraint"])
@pytest.mark.parametrize(
    "name", [*sorted(alembic_filter.TABLES), "workflow_runs", "polls_archive", "wes_daemon_new", None]
)
def test_the_filter_on_the_page_decides_as_the_imported_one(name: str | None, type_: str) -> None:
    documented = documented_filter()

    for reflected in (True, False):
        for compare_to in (None, object()):
            arguments = (object(), name, type_, reflected, compare_to)
            assert documented(*arguments) == alembic_filter.include_object(*arguments)


def test_the_filter_needs_the_standard_library_only() -> None:
    program = (
        "import sys; before = set(sys.modules); import wes_daemon.alembic_filter;"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))"
    )

    called = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert called.stdout == "['wes_daemon']\n"


def indexes(engine: Engine) -> set[str]:
    """The names of the indexes on the tables that a service owns."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            found = connection.execute(
                text("SELECT indexname FROM pg_indexes WHERE tablename IN ('workflow_runs', 'task_logs')")
            )
            return set(found.scalars())
    inspector = inspect(engine)
    return {str(index["name"]) for table in ("workflow_runs", "task_logs") for index in inspector.get_indexes(table)}
