# The two commands that matter:
#   make chaos TOPO=active-passive     all set-up, then the main job
#   make test                          all set-up, then the tests
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
EXP ?= suite
TOPO ?=
TOPOS ?=
EXPS ?=
TRIALS ?=
# RESUME=1 goes on with the last matrix, RESUME=FILE with that one
RESUME ?=
FROM ?= previous
TO ?= current
STRATEGY ?=
SEED ?= 1
BASELINE ?= results/baseline.json
NIGHTS ?= 10
KEEP ?=
ARGS ?=
# nothing is said where a matrix is gone on with: its file knows
MATRIX_OF = $(if $(TOPOS)$(EXPS)$(if $(RESUME),,new),$(or $(TOPOS),all) $(or $(EXPS),suite))
# as root on Debian or Ubuntu, what is missing is installed; else it is said
PRIVILEGED := $(shell [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo yes)

.PHONY: help setup browser chaos matrix preupgrade nightly baseline test test-unit test-integration test-e2e test-all compose-tool lint lock docs docs-generated bench clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: .venv/.ready  ## the Python environment; `make chaos` and `make test` do it themselves

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "python3 >= 3.11 is needed, this is $$($(PYTHON) --version); name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ -n "$(PRIVILEGED)" ] && apt-get update -q && apt-get install -q -y python3-venv; } || \
	  { echo "python3's venv module is missing: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "making the Python environment in .venv"
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e . 2> .venv/install.log || \
	  { cat .venv/install.log >&2; exit 1; }
	@touch $@

browser:  # what opens pages in tests
	@command -v chromium >/dev/null || { [ -n "$(PRIVILEGED)" ] && apt-get update -q && apt-get install -q -y chromium; } || \
	  { echo "chromium is missing: sudo apt-get install chromium" >&2; exit 1; }

chaos: .venv/.ready  ## run EXP (default the suite of four; a name, all, or a,b) on TOPO: make chaos TOPO=active-passive
	@$(BIN)/harness run $(TOPO) $(if $(TOPO),$(EXP)) $(ARGS)

matrix: .venv/.ready  ## TOPOS (default all) under EXPS (default suite), TRIALS of each: make matrix TOPOS=a,b EXPS=node-kill TRIALS=3
	@$(BIN)/harness matrix $(MATRIX_OF) $(if $(TRIALS),--trials $(TRIALS)) \
	  $(if $(RESUME),--resume $(if $(filter 1,$(RESUME)),latest,$(RESUME))) $(ARGS)

preupgrade: .venv/.ready  ## upgrade TOPO with people at work, go or no-go: make preupgrade TOPO=active-active FROM=previous TO=current; COMPONENT=database
	@$(BIN)/harness preupgrade $(TOPO) --from $(FROM) --to $(TO) $(if $(COMPONENT),--component $(COMPONENT)) $(if $(STRATEGY),--strategy $(STRATEGY)) $(ARGS)

# The matrix first, whatever it says; words, files or an engine that are not there end it. Ctrl-C ends it after the matrix
# has cleaned up. The same SEED every night, so that schedules are equal and trials can be compared in pairs. A comparison
# of too few runs (2) tells nothing, which is no failure of the night.
nightly: .venv/.ready  ## matrix (gone on with if it was cut short), comparison with BASELINE, history page; KEEP=1: a good night joins the baseline
	@trap 'exit 130' INT TERM; worst=0; step() { "$$@" || { code=$$?; [ $$worst -ne 0 ] || worst=$$code; }; }; \
	compared() { $(BIN)/harness compare "$(BASELINE)" results/latest-matrix.json --markdown results/comparison.md --junit results/comparison.junit.xml || \
	  { code=$$?; [ $$code -eq 2 ] || return $$code; echo "too few runs to tell: more TRIALS, or more nights in the baseline"; }; }; \
	step $(BIN)/harness matrix $(or $(TOPOS),all) $(or $(EXPS),suite) --trials $(or $(TRIALS),3) --seed $(SEED) --resume recent $(ARGS); \
	case $$worst in 64|69) exit $$worst;; esac; \
	if [ -e "$(BASELINE)" ]; then step compared; \
	else echo "no baseline at $(BASELINE), so nothing was compared: make baseline keeps this night as one"; fi; \
	[ -z "$(KEEP)" ] || [ $$worst -ne 0 ] || step $(BIN)/harness baseline --add --at-most $(NIGHTS) results/latest-matrix.json; \
	step $(BIN)/harness history; \
	exit $$worst

baseline: .venv/.ready  ## the last matrix joins the baseline of make nightly, of which the last NIGHTS stay
	@$(BIN)/harness baseline --add --at-most $(NIGHTS) results/latest-matrix.json

test: .venv/.ready lint browser compose-tool  ## lint, types, and the tests: unit, integration, e2e
	$(BIN)/pytest -n auto tests/unit tests/e2e/test_page.py
	$(BIN)/pytest --durations=40 tests/integration tests/e2e --ignore tests/e2e/test_page.py

test-unit: .venv/.ready  ## the tests without Docker that take seconds: no whole runs on the simulated engine
	$(BIN)/pytest -n auto -m "not long" --durations=5 --durations-min=0.5 tests/unit

test-integration: .venv/.ready  ## one component or fault in real containers
	$(BIN)/pytest tests/integration

test-e2e: .venv/.ready browser compose-tool  ## whole runs in real containers, pages in a real browser
	$(BIN)/pytest tests/e2e

test-all: test  ## everything there is: also 30 random sequences of faults, every configuration of the balancer, the whole catalogue
	HARNESS_SEQUENCES=30 $(BIN)/pytest tests/integration/test_sequences.py
	$(BIN)/pytest -m catalogue tests/integration tests/e2e

compose-tool:  ## a compose tool, with which a test starts an exported platform
	@docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1 || \
	  { [ -n "$(PRIVILEGED)" ] && apt-get update -q && apt-get install -q -y --no-install-recommends docker-compose; } || \
	  echo "no compose tool, so a test will fail: sudo apt-get install docker-compose" >&2

lint: .venv/.ready  ## ruff, mypy --strict, import contracts, all spec files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file harness/images/mypy.ini $(addprefix harness/images/workbench/,node_supervisor nfsfuse node_snapshots session_forker node_spawner.py)
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/harness validate

bench: .venv/.ready  ## measure the speeds (see benchmarks/README.md)
	$(BIN)/python benchmarks/main_job.py
	$(BIN)/python -m benchmarks.command_line
	$(BIN)/python -m benchmarks.topologies
	$(BIN)/python -m benchmarks.rebuild
	$(BIN)/python -m benchmarks.fault_effects
	$(BIN)/python -m benchmarks.restore
	$(BIN)/python -m benchmarks.nines
	$(BIN)/python -m benchmarks.analysis
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.many_runs

lock: .venv/.ready  ## write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header -o requirements.lock

docs: .venv/.ready  ## the documentation as pages in site/, without a network; a warning fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

docs-generated: .venv/.ready  ## write schemas, topologies/README.md and the table of knobs anew
	$(BIN)/python -m harness.run.documents

clean:  ## remove the Python environment, caches and site/; never results
	rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache .hypothesis
