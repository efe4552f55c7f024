# The four verbs a person types. Each makes .venv from constraints.txt if it is not there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench
demo: .venv/ready          ## train LeNet-5 on real handwritten digits, from a fresh clone
	$(BIN)/classicnets demo

test: check                ## everything: check, then all the tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: .venv/ready         ## format, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

bench: .venv/ready         ## side-by-side measurements; see benchmarks/README.md
	$(BIN)/python benchmarks/run.py

.venv/ready: constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "classicnets needs Python 3.11 or newer, not " + sys.version.split()[0]'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@
