# `make run` and `make test` are all a fresh machine with Python 3.11 needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run test coverage slow browser lint types contracts bench clean

run: $(VENV)/.installed
	$(BIN)/bonsai run vision

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow and not browser"

# Measuring costs about a third more processor time, so it is a run of its own, over `tasks` only.
coverage: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow and not browser" --cov --cov-report=term tests/tasks

slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -n $(or $(SLOW_WORKERS),2) --dist loadfile -m "slow" $(AGAIN)

browser: $(VENV)/.installed-browser
	$(BIN)/python -m pytest -q -n 3 --dist loadfile -m "browser" tests/browser $(AGAIN)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

contracts: $(VENV)/.installed-dev
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

$(VENV)/.installed-browser: $(VENV)/.installed-dev
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[browser]"
	touch $@

clean:
	rm -rf $(VENV)
