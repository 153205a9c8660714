# Everything needs only Python, pip and cargo: what else is used is put under .cache/ and target/.
#
#   make demo       watch a program move
#   make test       all tests, on python3 and on CPython 3.9 where there is one
#   make lint       formatting and lints
#   make bench      the benchmarks
#   make clean
#
#   PYTHON=...      another interpreter than python3
#   PYTESTS=...     arguments for pytest: make test-python PYTESTS="pytests/test_frames.py -k deep"

SHELL := /bin/bash
export PYTHON ?= python3
PYTESTS ?= pytests
JOBS ?= $(shell nproc)

default := $(shell tools/find-python)
other := $(filter-out $(default),$(shell tools/find-python 3.9))
pythons := $(default) $(other)

.PHONY: demo test test-rust test-python lint format bench clean

demo:
	@python="$$(tools/venv $(default))" && "$$python" demo/demo.py

test: test-rust test-python

# The layouts are held against each interpreter that the tests are linked with.
test-rust:
	tools/cargo-for $(default) test --quiet --workspace --exclude pyteleport-hook
	@[ -z "$(other)" ] || { set -x; tools/cargo-for $(other) test --quiet --package pyteleport-capture; }

# Both releases are made ready first: each is the other's "another release".
test-python:
	@set -e; ready=(); for each in $(pythons); do \
	    ready+=("$$(tools/venv "$$each" pytests/requirements.txt)"); \
	done; \
	for python in "$${ready[@]}"; do \
	    for other in "$${ready[@]}"; do [ "$$other" = "$$python" ] || export PYTELEPORT_TEST_OTHER="$$other"; done; \
	    echo "== $$("$$python" -c 'import sys; print("CPython", sys.version.split()[0])')"; \
	    "$$python" -m pytest -q -n $(JOBS) $(PYTESTS); \
	done

lint:
	cargo fmt --all --check
	tools/cargo-for $(default) clippy --quiet --workspace --all-targets -- -D warnings
	tools/tool ruff check .
	tools/tool ruff format --check .

format:
	cargo fmt --all
	tools/tool ruff check --fix .
	tools/tool ruff format .

bench:
	@python="$$(tools/venv $(default) pytests/requirements.txt)" && \
	    "$$python" benches/eval_overhead.py && "$$python" benches/move.py
	tools/cargo-for $(default) bench --package pyteleport-benches

clean:
	rm -rf .cache target
