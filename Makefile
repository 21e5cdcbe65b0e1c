# Two commands: `make run` and `make test`. `make` lists the rest.

VENV := .venv
JAX := .venv-jax
# Windows has Scripts/ where others have bin/; there, use `python -m mmlearn` (README).
BIN := $(VENV)/bin
LOCK := $(shell nvidia-smi >/dev/null 2>&1 && echo requirements/gpu.txt || echo requirements/cpu.txt)
# The first Python on the path that the course supports.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && echo $$p && break; done)
NEUTRAL := $(addprefix tests/test_,text.py sources.py datasets.py layers.py models.py evaluate.py)

.PHONY: help run refresh check test lab doctor lock clean

help:
	@echo "make run [NB=02]   execute the notebooks into build/ (all, or one)"
	@echo "make test          run every test, each notebook once"
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

# The JAX environment has no TensorFlow: the package must not need it.
test: $(VENV)/.ready $(JAX)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	KERAS_BACKEND=jax $(JAX)/bin/python -m pytest -o addopts="-q -p no:nbval" $(NEUTRAL)
	$(BIN)/python -m pytest

# `.ready` is written last: an interrupted install is not taken for a finished one.
$(VENV)/.ready: $(LOCK) pyproject.toml
	$(call environment,$(VENV),$(LOCK))

$(JAX)/.ready: requirements/jax.txt pyproject.toml
	$(call environment,$(JAX),requirements/jax.txt)

define environment
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		2>/dev/null || { echo "No Python 3.11 to 3.13 found: install one, or name" \
		"it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(1) from $(2) (a few minutes, once)"
	@rm -rf $(1)
	@$(PYTHON) -m venv $(1)
	@$(1)/bin/python -m pip install -qq --disable-pip-version-check -r $(2)
	@$(1)/bin/python -m pip install -qq --disable-pip-version-check \
		--no-deps --no-build-isolation -e .
	@touch $@
endef

COMPILE := uv pip compile --quiet --universal --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --upgrade pyproject.toml \
	--extra notebooks --extra test

lock:
	$(COMPILE) --extra tensorflow -o requirements/cpu.txt
	$(COMPILE) --extra gpu -o requirements/gpu.txt
	$(COMPILE) --extra jax -o requirements/jax.txt

clean:
	rm -rf $(VENV) $(JAX) build
