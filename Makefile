# Everything below sets itself up: Python 3.11 or newer, pip and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS := 1

.PHONY: help demo test slow oldest lint types docs wheel clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

# what disbench itself needs
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

# and the tools of its tests and its documentation
$(VENV)/ready: $(VENV)/installed
	$(INSTALL) ".[dev]"
	touch $@

demo: $(VENV)/installed  ## set up, train three methods with two seeds each, print the leaderboard (two minutes)
	$(BIN)/disbench run --methods ibgan,infogan,betavae --seeds 2 --protocol demo --out demo-run

test: $(VENV)/ready  ## set up and run the tests
	$(BIN)/pytest -n 2 --dist worksteal -q -m "not slow"

slow: $(VENV)/ready  ## the tests that take minutes, such as thousands of forged files
	$(BIN)/pytest -n 2 --dist worksteal -q -m slow

OLDEST := $(VENV)-oldest

# with PyTorch's build for GPUs, some gigabytes
oldest:  ## the tests with the oldest packages that pyproject.toml allows, in an environment of their own
	$(PYTHON) -m venv $(OLDEST)
	$(PYTHON) tests/oldest.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/pip install --quiet --constraint $(OLDEST)/constraints.txt --editable ".[dev]"
	$(OLDEST)/bin/pytest -n 2 --dist worksteal -q -m "not slow"

lint: $(VENV)/ready  ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready  ## mypy --strict on the packages
	$(BIN)/mypy

docs: $(VENV)/ready  ## build the documentation into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(VENV)/ready  ## build the wheel, install it alone, look into it
	$(BIN)/python tests/check_wheel.py

clean:  ## remove the virtual environment and what was built
	rm -rf $(VENV) $(OLDEST) build dist demo-run site *.egg-info src/*.egg-info
