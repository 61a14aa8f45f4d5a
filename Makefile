# Everything starts here: `make` lists the targets.
PYTHON ?= python3.11
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench soak lint format dist reference image-check lock-jars lock-python clean

bin := .venv/bin
# Java and the jars, for whatever runs outside spark-submit; computed in the recipe, because set-up may come first.
with_env = eval "$$($(bin)/python scripts/setup.py --env)"; export SPARK_CONF_DIR="$(CURDIR)/conf/spark";
# Tests that share a world stay in one process (tests/conftest.py); the longest begin first.
side_by_side = -n 2 --no-loadscope-reorder

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the locked packages and jars into .venv and .cache (Python 3.11 is all it needs)
	@$(PYTHON) scripts/setup.py

demo: setup ## run the built-in project against three live servers on this machine (ARGS="--customers 200")
	@$(with_env) $(bin)/headwater demo $(ARGS)

test: setup ## run all tests in two processes (ARGS="-k jdbc", ARGS="-n 0" for one)
	@$(with_env) $(bin)/pytest $(side_by_side) $(ARGS)

check: setup lint ## lint, types, layers and the architecture tests: what a commit must pass
	@$(bin)/pytest -q tests/architecture

lint: setup
	@$(bin)/ruff check
	@$(bin)/ruff format --check
	@$(bin)/mypy lib jobs
	@PYTHONPATH=lib $(bin)/lint-imports

format: setup ## put code into the one form that check asks for
	@$(bin)/ruff check --fix --quiet && $(bin)/ruff format

bench: setup ## measure (ARGS="tests/bench/bench_day.py --size base"; all of it, and small, unless said)
	@$(with_env) $(bin)/pytest -q -s -o python_files="bench_*.py" $(or $(filter tests/%,$(ARGS)),tests/bench) $(filter-out tests/%,$(ARGS))

soak: setup ## the tests, and the random and kill suites at full count (tests/**/soak_*.py)
	@$(with_env) HEADWATER_SOAK=1 $(bin)/pytest -o python_files="test_*.py soak_*.py" $(ARGS)

dist: setup ## build what a cluster takes: the wheel, headwater.zip and conf.zip in dist/
	@rm -rf build dist && mkdir dist
	@$(bin)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@cd lib && ../$(bin)/python -m zipfile -c ../dist/headwater.zip headwater
	@cd conf && ../$(bin)/python -m zipfile -c ../dist/conf.zip *
	@ls dist

reference: setup ## write docs/configuration.md and docs/schemas anew from the models of conf/
	@PYTHONPATH=lib $(bin)/python scripts/config_reference.py

image-check: ## run what the Dockerfile says in a scratch folder, without Docker (downloads packages; some minutes)
	@$(PYTHON) scripts/check_dockerfile.py $(ARGS)

lock-jars: setup ## write conf/jars.lock anew from conf/jars.in
	@$(PYTHON) scripts/setup.py --relock

lock-python: setup ## write both requirements*.lock anew from requirements*.in
	@$(PYTHON) -m venv .cache/lock && .cache/lock/bin/pip install --quiet pip-tools
	@.cache/lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --no-header --no-emit-options -o requirements.lock requirements.in requirements-spark.in requirements-runtime.in requirements-dev.in
	@$(PYTHON) scripts/runtime_lock.py

clean: ## remove what demo and tests left behind; keeps packages and jars
	@rm -rf .headwater dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
