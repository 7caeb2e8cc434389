# Every check, the same on a laptop and in CI. `just` comes with the `dev` extra.

bin := justfile_directory() / ".venv/bin"

# Format, lint, types, import contracts, tests
check: format lint types contracts test

# Rewrite what is not formatted as it should be
format:
    {{bin}}/ruff format src tests benchmarks
    {{bin}}/ruff check --fix-only src tests benchmarks

# Everything that is looked at without being run
static: formatted lint types contracts

formatted:
    {{bin}}/ruff format --check src tests benchmarks

lint:
    {{bin}}/ruff check src tests benchmarks

types:
    {{bin}}/mypy

contracts:
    {{bin}}/lint-imports

# All tests, three at a time for most of them wait; `just test tests/unit` for some
test *arguments="-n 3":
    {{bin}}/pytest {{arguments}}

# Coverage of branches of domain and application by the unit tests, which do no I/O; without those that draw their steps
coverage:
    {{bin}}/pytest -n 3 tests/unit --ignore=tests/unit/stateful --cov=wes_daemon.domain --cov=wes_daemon.application --cov-branch --cov-fail-under=90

# Plant bugs in copies of the package, one by one: each has to make a test fail; `just mutants NAME` for one
mutants *arguments="--jobs 2":
    {{bin}}/python -m tests.mutations {{arguments}}

# Everything that may go wrong, with real processes, for about half an hour; see docs/faults.md
faults *arguments:
    {{bin}}/python -m tests.faults {{arguments}}

# Measure everything for about twenty minutes, on a machine that does nothing else, and write docs/benchmarks.md;
# `just bench NAME` for one figure, `just bench --quick` to see in three minutes whether they work
bench *arguments:
    {{bin}}/python -m benchmarks {{arguments}}
