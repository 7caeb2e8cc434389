# Every check, the same on a laptop and in CI. `just` comes with the `dev` extra.

bin := justfile_directory() / ".venv/bin"

# Format, lint, types, import contracts, tests
check: format lint types contracts test

# Rewrite what is not formatted as it should be
format:
    {{bin}}/ruff format src tests benchmarks examples
    {{bin}}/ruff check --fix-only src tests benchmarks examples

# Everything that is looked at without being run
static: formatted lint types contracts

formatted:
    {{bin}}/ruff format --check src tests benchmarks examples

lint:
    {{bin}}/ruff check src tests benchmarks examples

types:
    {{bin}}/mypy

contracts:
    {{bin}}/lint-imports

# All tests, three at a time for most of them wait; `just test tests/unit` for some
test *arguments="-n 3":
    {{bin}}/pytest {{arguments}}

# The unit tests, which do no I/O, with the coverage of branches of domain and application
coverage:
    {{bin}}/pytest -q -n 3 tests/unit --cov=wes_daemon.domain --cov=wes_daemon.application --cov-branch --cov-fail-under=90

# What takes too long for every change, for an hour and a half: nightly tests, larger searches, mutants, faults, benchmarks;
# with WES_DAEMON_TEST_CWL_SUITE=DIRECTORY, a copy of the CWL standard's repository, also all of its conformance tests
nightly:
    {{bin}}/pytest -n 2 -m nightly
    WES_DAEMON_TEST_EXAMPLES=3000 {{bin}}/pytest -n 2 tests/unit/stateful
    WES_DAEMON_TEST_SERVICES=1000 {{bin}}/pytest -n 2 tests/integration/persistence/test_any_service.py
    {{bin}}/python -m tests.model
    {{bin}}/python -m tests.mutations --jobs 2
    {{bin}}/python -m tests.faults
    {{bin}}/python -m benchmarks --quick

# Plant bugs in copies of the package, one by one: each has to make a test fail; `just mutants NAME` for one
mutants *arguments="--jobs 2":
    {{bin}}/python -m tests.mutations {{arguments}}

# Everything that may go wrong, with real processes, for about half an hour; see docs/faults.md
faults *arguments:
    {{bin}}/python -m tests.faults {{arguments}}

# The CWL standard's conformance tests through the daemon and by cwltool alone: `just conformance --suite DIRECTORY`
conformance *arguments:
    {{bin}}/python -m tests.conformance {{arguments}}

# Measure everything for about twenty minutes, on a machine that does nothing else, and write docs/benchmarks.md;
# `just bench NAME` for one figure, `just bench --quick` to see in three minutes whether they work
bench *arguments:
    {{bin}}/python -m benchmarks {{arguments}}
