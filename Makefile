# make demo    simulated frames through peaks, sparsify, densify and compare; leaves pictures in demo/
# make test    all tests, on every OpenCL device of this machine
# make check   ruff, mypy, import-linter
# make oclgrind  every kernel in the form of GPUs, looked at for races and bad accesses; needs oclgrind
# make ptx     registers, spills and memory of every kernel on a GPU, into benchmarks/GPU.md; needs clang, libclc, ptxas
# make docs    the site of the documentation, in build/docs; warnings are errors
# make web     the page for browsers, from web/ into crystint/online/static; needs Node.js 20 and npm
# make clean   remove everything that these made
#
# Needs make and Python >= 3.11 with venv; all else is installed into .venv, again only when pyproject.toml changes:
# PoCL for the processor, and Intel's runtime where OpenCL finds no usable device with that.
# Another Python: make demo PYTHON=/path/to/python3

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PYTHON :=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: demo test check docs oclgrind ptx web clean

demo: $(VENV)/.cpu
	$(BIN)/crystint demo -o demo --overwrite

test: $(VENV)/.dev
	scripts/build-web --if-possible
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/test $(ARGS)

check: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

docs: $(VENV)/.dev
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/docs $(ARGS)

oclgrind: $(VENV)/.dev
	$(BIN)/python scripts/oclgrind

ptx: $(VENV)/.dev
	$(BIN)/python scripts/ptx $(ARGS)

web:
	scripts/build-web

$(VENV)/.python:
	@set -e; \
	if [ -e $(VENV) ] && [ ! -e $(VENV)/.made-here ]; then \
	  echo "$(VENV) exists and was not made by make: move it away" >&2; exit 1; \
	fi; \
	for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "making $(VENV) with $$("$$python" -V)"; \
	    rm -rf $(VENV); mkdir $(VENV); touch $(VENV)/.made-here; \
	    "$$python" -m venv $(VENV); \
	    touch $@; \
	    exit 0; \
	  fi; \
	done; \
	echo "no Python >= 3.11 with venv and ensurepip was found" >&2; \
	echo "install one (Debian, Ubuntu: apt install python3 python3-venv), or name it: make demo PYTHON=/path/to/python3" >&2; \
	exit 1

# Editable: the kernels are read from kernels/, and a changed source file needs no new installation.
$(VENV)/.cpu: pyproject.toml | $(VENV)/.python
	$(BIN)/python -m pip install --quiet --editable '.[cpu]'
	@scripts/cpu-device $(BIN)/python --editable '.[intel]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@scripts/cpu-device $(BIN)/python --editable '.[intel]'
	@touch $@ $(VENV)/.cpu

clean:
	rm -rf crystint/online/static web/node_modules $(VENV) demo dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
