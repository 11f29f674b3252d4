# Every target makes .venv and installs what it needs, once, so `make demo` works in a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# pip shows its bar where there is a terminal to show it on, and is silent in logs.
PIP_OUTPUT := $(if $(MAKE_TERMOUT),,--quiet)

# Options for the installation of torch alone, for instance an index that holds builds for one accelerator or for CPUs.
TORCH_OPTIONS ?=

# xdist workers of `make test`. Each computes on one thread: more threads than cores make the suite slower. A file is
# run by one worker, so that what its tests share (a model, a trained run, a server) is made once and not by each worker.
WORKERS ?= 2

# As it was written: `$(value)` keeps a `$` in the name from being expanded.
export DEMO_VIDEO := $(value VIDEO)

# Files and folders whose slow tests `make test-slow` runs.
SLOW ?= tests

# Every call is checked against the types and shapes of its annotations, which costs some tests most of their time.
CHECKED := --jaxtyping-packages=videolavit,beartype.beartype

.DEFAULT_GOAL := help
.PHONY: help demo test test-annotations test-slow test-browser test-all lint format bench docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/demo.stamp  ## generate a video, ask about it, take a real one apart and put it together again; VIDEO=your.mp4
	@$(BIN)/python examples/demo.py

test: $(VENV)/dev.stamp  ## run the tests, but for the slow ones and those that need an accelerator or the released weights
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-annotations: $(VENV)/dev.stamp  ## run the same tests, and hold every call against the types and shapes of its annotations
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(CHECKED)

test-slow: $(VENV)/dev.stamp  ## run the slow tests alone, with annotations checked; SLOW="tests/training .." for some of them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(CHECKED) -m "slow and not gpu and not weights" $(SLOW)

test-browser: $(VENV)/dev.stamp $(VENV)/browser.stamp  ## drive the page with Chromium (Debian's package chromium); they are skipped without
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests/demo/test_page_in_browser.py

test-all: test-annotations test-slow  ## run everything that a CPU can

lint: $(VENV)/dev.stamp  ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright videolavit

format: $(VENV)/dev.stamp  ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The others want a model, data or a GPU: their docstrings have the commands, and the documentation what came out.
BENCHES = $(filter-out $(addprefix benchmarks/,adaptive_keyframes.py front_end.py gpu.py installation.py motion_from_words.py \
	motion_layers.py ranking_drafts.py remembering.py scale.py things_judge.py), $(shell grep -l __main__ benchmarks/*.py))

bench: $(VENV)/dev.stamp  ## measure speed and memory; on a quiet machine
	@set -e; for script in $(BENCHES); do echo "== $$script"; $(BIN)/python "$$script"; done

docs: $(VENV)/dev.stamp $(VENV)/docs.stamp  ## build the documentation into site, check its links, run its examples and the notebooks
	$(BIN)/python -m mkdocs build --strict
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not gpu and not weights" \
		tests/test_readme.py tests/test_extending.py tests/test_documentation.py tests/test_notebooks.py tests/test_examples.py

clean:  ## delete .venv, results of the demo and caches
	rm -rf $(VENV) out build dist site videolavit.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "videolavit needs Python 3.11 or newer, but $(PYTHON) is `$(PYTHON) --version 2>&1`."; \
		echo "Name another one, for example: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing torch into $(VENV), once: a few hundred MB for a CPU, several GB for a GPU"
	$(PIP) install $(PIP_OUTPUT) -c constraints.txt $(TORCH_OPTIONS) torch
	@echo "Installing videolavit[$*] and the libraries that it needs"
	$(PIP) install $(PIP_OUTPUT) -c constraints.txt -e '.[$*]'
	@touch $@
