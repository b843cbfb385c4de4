# make pilot         set everything up, then run the whole study  (PRESET=smoke|laptop|full OUT=folder ARGS="--tasks ...")
# make setup         only the set-up: .venv, pinned by constraints.txt, and DeepSpeed's CPU operator (compiled once)
# make check         lint, types and test-unit: before every commit
# make lint          ruff: rules and format
# make types         mypy
# make format        let ruff mend what it can, and format
# make test-unit     the quick tests
# make test          all tests but those of real clusters (test-cluster) and the long ones (test-all)
# make test-cluster  real clusters of many processes on this machine: job submission, autoscaling, chaos
# make test-all      every test: also the whole grid of agreement with reference solvers, and studies killed again and again
# make bench         list the commands of the benchmarks
# make audit         ask the advisory database about every pinned version (needs the network; fails where one is not there)
# make clean         remove .venv, builds and caches
# Every target but audit and clean sets everything up first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PRESET ?= laptop
OUT ?= pilot-$(PRESET)
ARGS ?=
STAMP := $(VENV)/.setup-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
export TORCH_EXTENSIONS_DIR ?= $(CURDIR)/$(VENV)/torch_extensions

.PHONY: setup pilot audit test test-all test-cluster test-unit check lint types format bench clean
setup: $(STAMP)
	@echo "set-up: everything is installed in $(VENV)"

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed (found: $(PYTHON)); say which with make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@command -v c++ >/dev/null || { echo "a C++ compiler is needed (DeepSpeed compiles its CPU operator): install g++" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[all,test,bench]"
	$(BIN)/python -m cluster.deepspeed_engine
	@rm -f $(VENV)/.setup-* && touch $@

pilot: setup
	$(BIN)/neoberta pilot --preset $(PRESET) --out $(OUT) $(ARGS)

test: setup
	$(BIN)/python -m pytest -m "not kills and not grid and not cluster"

test-all: setup
	$(BIN)/python -m pytest

test-cluster: setup
	$(BIN)/python -m pytest -m cluster

test-unit: setup
	$(BIN)/python -m pytest -m "not ray and not slow and not grid and not kills and not cluster"

check: lint types test-unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit:
	@test -x $(VENV)/audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)/audit && $(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; }
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

bench: setup
	@ls benchmarks/*.py 2>/dev/null | sed 's#benchmarks/\(.*\).py#  $(BIN)/python -m benchmarks.\1#'

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
