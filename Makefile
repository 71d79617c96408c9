# Everything a fresh machine needs is python3 with venv, and make.
#   make train   sets up .venv, then trains and evaluates a network on real handwritten digits
#   make test    sets up .venv with what the tests need, then runs them

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help train test smoke lint format bench clean

help:  ## List what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-lint: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[lint,test]'
	@touch $@ $(VENV)/installed

train: $(VENV)/installed  ## Train and evaluate on the embedded digits (about half a minute)
	$(BIN)/pellucid train digits

test: $(VENV)/installed-test  ## Run all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0

smoke: $(VENV)/installed-test  ## Run the quick selection of tests (under 20 seconds)
	$(BIN)/python -m pytest -m smoke tests

lint: $(VENV)/installed-lint  ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/installed-lint  ## Put all code into the common format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed  ## Time training and prediction on this machine
	$(BIN)/pellucid bench

clean:  ## Remove .venv and everything generated
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
