# The two commands are `make demo` and `make test`; each does all of its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .venv-clients
FAUST := .venv-faust
EXTRAS ?=
ARGS ?=
TESTS ?=
WORKERS ?= auto

# Bytecode is kept, whatever the environment says: a run starts a dozen processes and the tests hundreds, and each would
# compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test fuzz soak bench docs lint setup setup-dev lock clean
.NOTPARALLEL:

# A set-up is done once per lock file: its stamp is newer than the lock, or it is made again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else f"freshet needs Python 3.11 or newer, this is {v[0]}.{v[1]}: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-%: locks/%.lock pyproject.toml | $(VENV)/bin/python
	@echo "freshet: installing $* (once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Clients of other projects, for the tests: they need other versions of what freshet needs, so they live apart from it.
$(CLIENTS)/.stamp: locks/clients.lock | $(BIN)/python
	@echo "freshet: installing clients (once)"
	@$(BIN)/python -m venv --clear $(CLIENTS)
	@$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# Faust, for the tests: it needs an older click than freshet's command line has.
$(FAUST)/.stamp: locks/faust.lock | $(BIN)/python
	@echo "freshet: installing faust (once)"
	@$(BIN)/python -m venv --clear $(FAUST)
	@$(FAUST)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@$(FAUST)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Kernels are compiled before the first run, and again when one of them (or numba) has changed.
$(VENV)/.stamp-warm: $(wildcard */*_kernels.py */*/*kernels.py) $(wildcard locks/*.lock) | $(VENV)/bin/python
	@echo "freshet: compiling kernels (once)"
	@find schemas streams features learners freshet -name '*.nb[ic]' -delete # numba asks a kernel's own file alone
	@$(BIN)/python -m freshet.warm
	@touch $@

# Whoever has set up for the tests has all that the demo needs.
setup: $(or $(wildcard $(VENV)/.stamp-dev),$(VENV)/.stamp-$(if $(findstring torch,$(EXTRAS)),torch,base)) $(VENV)/.stamp-warm
setup-dev: $(VENV)/.stamp-dev $(VENV)/.stamp-warm $(CLIENTS)/.stamp $(FAUST)/.stamp

demo: setup
	@$(BIN)/freshet demo $(ARGS)

# A file's tests stay together: they share servers and whole runs.
test: setup-dev
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

# The properties, each with other examples than before and with more of them; whole systems are left out.
fuzz: setup-dev
	@FRESHET_EXAMPLES=$${FRESHET_EXAMPLES:-1000} $(BIN)/python -m pytest -n $(WORKERS) -m hypothesis $(TESTS)

# Two hundred kills of every role, with second members beside the first; minutes.
soak: setup-dev
	@$(BIN)/python -m tests.faults.soak $(ARGS)

bench: setup-dev
	@$(BIN)/python -m tests.bench $(ARGS)

# The pages of the interface, from the docstrings.
docs: $(VENV)/.stamp-dev
	@$(BIN)/python -m tests.api_reference

lint: $(VENV)/.stamp-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

lock:
	@for e in base "dev --extra torch" torch faust; do \
	  set -- $$e; out=locks/$$1.lock; x="--extra build"; [ "$$1" = base ] || x="$$x --extra $$e"; \
	  uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-emit-find-links --no-header --no-annotate -q $$x -o $$out; done
	@uv pip compile --group pyproject.toml:clients --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate -q -o locks/clients.lock

clean:
	rm -rf $(VENV) $(CLIENTS) $(FAUST) .freshet .mypy_cache .ruff_cache .pytest_cache
