# `make help` lists what there is. Everything sets itself up: nothing but python3 (3.11 or newer) is needed first.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

.PHONY: help demo test check unit cluster-test e2e crds lock bench image cluster-down clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# Keyed by content: an unchanged lock file costs nothing, a changed one installs what it says and nothing else.
$(VENV)/.installed: requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked requirements into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.installed ## Show the operator at its main job, on a real cluster (KEEP=1 leaves it running)
	@$(BIN)/python -m demo $(if $(KEEP),--keep)

test: check ## All checks and tests: unit, property, real API server, real node
	@$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

check: $(VENV)/.installed ## Lint, types, import layers, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m crm_operator.api.crdgen --out crds --check

unit: $(VENV)/.installed ## Only the tests that need no cluster
	@$(BIN)/python -m pytest -m "not cluster and not e2e" $(PYTEST_ARGS)

cluster-test: $(VENV)/.installed ## Only the tests on a real API server with fake nodes
	@$(BIN)/python -m pytest -m cluster $(PYTEST_ARGS)

e2e: $(VENV)/.installed ## Only the tests on a real node
	@$(BIN)/python -m pytest -m e2e $(PYTEST_ARGS)

bench: $(VENV)/.installed ## Measure reaction times and cost; raw data goes to bench/out
	@$(BIN)/python -m bench

crds: $(VENV)/.installed ## Generate crds/ from the models
	@$(BIN)/python -m crm_operator.api.crdgen --out crds

lock: $(VENV)/.installed ## Lock the requirements again
	@$(BIN)/uv pip compile -q --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements/runtime.txt
	@$(BIN)/uv pip compile -q --generate-hashes --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate -c requirements/runtime.txt pyproject.toml requirements/dev.in -o requirements/dev.txt

clean: ## Remove the virtual environment and build results; caches outside the repository stay
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
