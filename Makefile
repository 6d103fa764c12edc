# EzStat. `make` alone says what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=
PYTHON_IMAGE ?= python:3.13-slim
EZSTAT_IMAGE ?= ezstat

.DEFAULT_GOAL := help
.PHONY: help run test check bench faults secrets image wheelhouse

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

secrets: ## make .env with the secrets of compose.yaml, once
	@deploy/make-secrets.sh

image: ## build the container image, offline when `make wheelhouse` went before (PYTHON_IMAGE=..., EZSTAT_IMAGE=...)
	docker build --file deploy/Dockerfile --tag $(EZSTAT_IMAGE) --build-arg BASE=$(PYTHON_IMAGE) \
		$(if $(wildcard deploy/wheelhouse/*.whl),--build-arg PIP_NO_INDEX=1) .

wheelhouse: ## fetch the image's packages where PYTHON gets them; PYTHON must have the version of PYTHON_IMAGE
	$(PYTHON) -m pip download --only-binary :all: --require-hashes --dest deploy/wheelhouse \
		--requirement deploy/requirements.lock

# The lock's packages are installed again only when the lock itself changed, ourselves also when pyproject.toml did.
$(INSTALLED): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@cmp -s requirements.lock $(VENV)/requirements.lock || { \
		echo "installing what requirements.lock names into $(VENV)" && \
		$(PIP) install --require-hashes -r requirements.lock && \
		cp requirements.lock $(VENV)/requirements.lock; }
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@
