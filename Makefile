# Everything needs only Python, pip and cargo: what else is used is put under .cache/ and target/.
#
#   make demo          watch a program move
#   make test          all tests, on python3
#   make test-all      all tests, on every release of CPython; WRITE=1 puts what came out into README.md,
#                      QUICK=1 has what depends most on it, each test on every third
#   make test-cpython  CPython's own tests with the recording hook, and without; QUICK=1 leaves out the longest
#   make test-aarch64  to and from another architecture, which is emulated
#   make lint          formatting and lints
#   make bench         the benchmarks; with RELEASES=, what the hook costs on each of them
#   make clean
#
#   PYTHON=...         another interpreter than python3
#   PYTESTS=...        arguments for pytest: make test-python PYTESTS="pytests/test_frames.py -k deep"
#   RELEASES=...       make test-all RELEASES="3.8 3.15", and test-cpython, test-aarch64, bench
#
# Releases that this machine lacks come from Debian sid (tools/sid), which is kept under PYTELEPORT_CACHE=~/.cache/pyteleport.

SHELL := /bin/bash
export PYTHON ?= python3
export JOBS ?= $(shell nproc)
PYTESTS ?= pytests
RELEASES ?=

default := $(shell tools/find-python)

.PHONY: demo test test-rust test-python test-all test-cpython test-aarch64 lint format bench clean

demo:
	@python="$$(tools/venv $(default))" && "$$python" demo/demo.py

test: test-rust test-python

test-rust:
	tools/cargo-for $(default) test --quiet --workspace --exclude pyteleport-hook

# The tests about another release are left out where none is at hand: make test-all has them all.
test-python:
	@python="$$(tools/venv $(default) pytests/requirements.txt pytests/libraries.txt)" && "$$python" -m pytest -q -n $(JOBS) $(PYTESTS)

test-all:
	@$(default) tools/test_all.py $(if $(QUICK),--quick) $(if $(STRICT),--strict) $(if $(WRITE),--write) $(RELEASES)

test-cpython:
	@pythons="$$(tools/pythons $(RELEASES))" && status=0 && for python in $$pythons; do \
	    "$$python" tools/test_cpython.py $(if $(QUICK),--quick) --jobs $(JOBS) || status=1; \
	done && exit $$status

test-aarch64:
	tools/test-aarch64 $(RELEASES)

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
	@pythons="$$(tools/pythons $(RELEASES))" && $(default) benches/eval_overhead.py --pythons $$pythons
ifeq ($(RELEASES),)
	@python="$$(tools/venv $(default) pytests/requirements.txt)" && "$$python" benches/move.py && "$$python" benches/copies.py && "$$python" benches/objects.py
	tools/cargo-for $(default) bench --package pyteleport-benches
endif

clean:
	rm -rf .cache target
