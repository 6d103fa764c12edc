# EzStat. `make` alone says what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check bench faults

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 \t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(INSTALLED) ## run EzStat on this machine until Ctrl-C (PORT, EZSTAT_DATA, ...: see `.venv/bin/ezstat settings`)
	@exec $(BIN)/ezstat up

test: $(INSTALLED) ## run the tests (ARGS="-k name" for some)
	$(BIN)/python -m pytest $(ARGS)

check: $(INSTALLED) ## formatting, lint, types, import walls and the other rules of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet tests/house

bench: $(INSTALLED) ## measure what is promised, peers side by side
	$(BIN)/python -m benchmarks $(ARGS)

faults: $(INSTALLED) ## the long form of the fault tests: minutes of load while processes are killed
	EZSTAT_FAULTS=long $(BIN)/python -m pytest -m fault $(ARGS)

# The lock's packages are installed again only when the lock itself changed, ourselves also when pyproject.toml did.
$(INSTALLED): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@cmp -s requirements.lock $(VENV)/requirements.lock || { \
		echo "installing what requirements.lock names into $(VENV)" && \
		$(PIP) install --require-hashes -r requirements.lock && \
		cp requirements.lock $(VENV)/requirements.lock; }
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@
