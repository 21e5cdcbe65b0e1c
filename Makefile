# Two commands: `make run` and `make test`. `make` lists the rest.

VENV := .venv
OTHER := .venv-other
# Windows has Scripts/ where others have bin/; there, use `python -m mmlearn` (README).
BIN := $(VENV)/bin
LOCK := $(shell nvidia-smi >/dev/null 2>&1 && echo requirements/gpu.txt || echo requirements/cpu.txt)
# The first Python on the path that the course supports.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && echo $$p && break; done)
SLOWEST := --durations=15 --durations-min=10
# tests/conftest.py says which tests run on which backend. One worker runs a whole file,
# so that what its tests share is made once; a test that hangs is named, and ended.
TESTS := -m pytest -n auto --dist loadfile $(SLOWEST) -o addopts="-q -p no:nbval" \
	-o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true \
	tests --ignore tests/test_notebooks.py
NOTEBOOK_TESTS := -m pytest -n 2 --dist loadfile $(SLOWEST)
# All notebooks take an hour on two slow cores: a commit's hash says which half of them
# `make verify` runs; `make verify ALL=1` runs all.
LATER := $(filter-out notebooks/00_start_here.ipynb,$(sort $(wildcard notebooks/*.ipynb)))
HALF := $(shell printf '%s\n' $(LATER) | awk -v odd=$$(git rev-parse HEAD 2>/dev/null \
	| grep -c '[13579bdf]$$') 'NR % 2 == odd')
CHOSEN := $(if $(ALL),$(LATER),$(HALF))
# JAX compiles each small operation: without optimizing, and once for all test workers.
JAX_QUICKLY := JAX_DISABLE_MOST_OPTIMIZATIONS=1 \
	JAX_COMPILATION_CACHE_DIR=$(OTHER)/compiled \
	JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1

.PHONY: help run refresh check test verify lab doctor lock clean

help:
	@echo "make run [NB=02]   execute the notebooks into build/ (all, or one)"
	@echo "make test          style, every test on TensorFlow, notebook 00"
	@echo "make verify        the rest: JAX, PyTorch, half of the notebooks (ALL=1: all)"
	@echo "make lab           open JupyterLab on notebooks/"
	@echo "make doctor        what this machine has, and where the data come from"
	@echo "make refresh [NB=] execute notebooks and store their outputs"
	@echo "make check         check the notebooks against the contract"
	@echo "make lock          choose new locked versions (needs uv)"
	@echo "make clean         remove the environments and build/"

run refresh check doctor: $(VENV)/.ready
	@$(BIN)/python -m mmlearn $@ $(NB)

lab: $(VENV)/.ready
	@$(BIN)/jupyter lab --notebook-dir=notebooks

# What one changes most, in a quarter of an hour.
test: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python $(TESTS)
	$(BIN)/python $(NOTEBOOK_TESTS) -m "not verify" \
		notebooks/00_start_here.ipynb tests/test_notebooks.py

# The other environment has JAX and PyTorch, and no TensorFlow: none may be needed.
verify: $(VENV)/.ready $(OTHER)/.ready
	KERAS_BACKEND=jax $(JAX_QUICKLY) $(OTHER)/bin/python $(TESTS)
	KERAS_BACKEND=torch OMP_NUM_THREADS=1 $(OTHER)/bin/python $(TESTS)
	@echo "Not run here: $(or $(filter-out $(CHOSEN),$(LATER)),none)"
	$(BIN)/python $(NOTEBOOK_TESTS) $(CHOSEN) tests/test_notebooks.py

# `.ready` is written last: an interrupted install is not taken for a finished one.
$(VENV)/.ready: $(LOCK) requirements/no-deps.txt pyproject.toml
	$(call environment,$(VENV),$(LOCK))

$(OTHER)/.ready: requirements/other.txt requirements/jax.txt requirements/no-deps.txt pyproject.toml
	$(call environment,$(OTHER),requirements/other.txt)

define environment
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		2>/dev/null || { echo "No Python 3.11 to 3.13 found: install one, or name" \
		"it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(1) from $(2) (a few minutes, once)"
	@rm -rf $(1)
	@$(PYTHON) -m venv $(1)
	@$(1)/bin/python -m pip install -qq --disable-pip-version-check -r $(2)
	@$(1)/bin/python -m pip install -qq --disable-pip-version-check \
		--no-deps --no-build-isolation -r requirements/no-deps.txt -e .
	@touch $@
endef

COMPILE := uv pip compile --quiet --universal --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --upgrade pyproject.toml \
	--extra pretrained --extra notebooks --extra test

lock:
	$(COMPILE) --extra tensorflow -o requirements/cpu.txt
	$(COMPILE) --extra gpu -o requirements/gpu.txt
	$(COMPILE) --extra jax -o requirements/jax.txt

clean:
	rm -rf $(VENV) $(OTHER) build
