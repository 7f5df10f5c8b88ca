# Two commands for a fresh machine with Python 3.11 to 3.14 and make: `make demo` and `make test`. `make help` lists all.
VENV ?= .venv
# The Pythons that setup.cfg names; a newer python3 only where there is none of them, since no test ran on it.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := $(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV))/bin
# A path may hold spaces: the shell gets it in quotes, make with the spaces escaped.
SPACE := $() $()
STAMP := $(subst $(SPACE),\ ,$(VENV))/.made
# An environment whose Python is gone (the system got a newer one), or is an old one, is made anew.
LOST := $(shell "$(BIN)/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || echo lost)
PYTEST := "$(BIN)/python" -m pytest
CODE := stream_router tests benchmarks tools
# The tests start the programs hundreds of times: where this is set, each start compiles them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test setup check lint unit test-pythons bench bench-quick fault long prove worlds docs deploy-check dist help lost
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  VENV=dir sets the environment's directory (default .venv)"

demo: setup ## run the whole pipeline on this machine with 10,000 events, and account for each
	@"$(BIN)/stream-router" demo $(DEMO)

# mypy is one process: beside it the other core takes the quick tests.
test: setup ## run lint, types, and all tests that are not marked long
	@$(MAKE) --no-print-directory -j2 lint unit
	@$(PYTEST) -m "not long and not prove" -n 4 --dist loadfile --no-loadscope-reorder --ignore tests/unit --ignore tests/property --ignore tests/contract

check: test ## the same as make test

lint: setup ## run ruff and mypy --strict over package, tests and benchmarks
	@"$(BIN)/ruff" check .
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/python" -m mypy $(CODE)

unit: setup ## run the quick tests only
	@$(PYTEST) -m "not long and not prove" -n 2 tests/unit tests/property tests/contract

test-pythons: setup ## run the quick tests on each Python that setup.cfg names and PATH or pyenv has
	@"$(BIN)/python" tools/test_pythons.py "$(VENV)/pythons"

bench: setup ## run the benchmarks one after the other; results go to benchmarks/results
	@"$(BIN)/python" -m benchmarks

bench-quick: setup ## a short run of the benchmarks, less than five minutes; writes no file
	@"$(BIN)/python" -m benchmarks --quick

fault: setup ## twenty minutes: one full chaos run, and the simulator
	@$(PYTEST) -m long -n 2 --dist load tests/fault/chaos_run tests/simulation

long: setup ## hours: all long tests, those of `make fault` included
	@$(PYTEST) -m long

prove: setup ## hours: the simulator's seeds, and known mistakes; for one part: PROVE='-k mistake'
	@$(PYTEST) -m prove $(PROVE)

worlds: setup ## 25 minutes: run the programs in emulators that others wrote (tests/worlds)
	@"$(BIN)/python" -m tests.worlds $(WORLDS)

docs: setup ## regenerate the parts of docs/ that come from code: configuration, IAM policies, the template's, metrics, schemas
	@"$(BIN)/python" tools/configuration.py
	@"$(BIN)/python" tools/environment_file.py
	@"$(BIN)/python" tools/policies.py
	@"$(BIN)/python" tools/cloudformation.py
	@cp deploy/observability/prometheus/rules.yaml deploy/helm/rules.yaml
	@"$(BIN)/python" tools/metrics.py
	@"$(BIN)/python" tools/schemas.py
	@"$(BIN)/python" tools/mutants.py
	@"$(BIN)/python" tools/benchmarks_page.py
	@"$(BIN)/python" tools/top_picture.py
	@"$(BIN)/python" tools/chaos_runs.py

deploy-check: setup ## run the linters of the deployment files; report which linters are not installed
	@"$(BIN)/python" tools/deploy_check.py

dist: setup ## build what a host without a checkout installs: sdist, wheels, locks with hashes, checksums
	@"$(BIN)/python" tools/dist.py

setup: $(STAMP) ## create the environment, nothing else

$(STAMP): setup.cfg pyproject.toml constraints.txt tools/make_env.py tools/kclpy_wheel.py stream_router/consumer/supervisor/jars.txt $(LOST)
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" tools/make_env.py "$(VENV)"
	@touch "$(VENV)/.made"
