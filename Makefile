# Two commands matter: `make soak` (the main job) and `make test`. Both set up .venv on first use.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DASK   := $(VENV)/.dask-installed

export PYTHONUTF8 := 1
export DO_NOT_TRACK := 1

.PHONY: setup soak up lint test soak-test bench screenshots example clean
setup: $(STAMP)

# Reinstalls only when the lock or the package list changes; compiles the numba kernels into their cache.
$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; install Python 3.11 or newer, or run make PYTHON=/path/to/python"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; run make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV) (one to three minutes, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo "compiling the replay kernels (once) ..."
	@$(BIN)/python -m engine.warm
	@$(BIN)/python -m flows.environment
	@touch $@

$(DASK): requirements-dask.lock $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dask.lock
	@touch $@

soak: setup
	@$(BIN)/nightsoak soak --hours 3 --iterations 6 --auto-tune

# Prefect server, deployments, worker and UI, until Ctrl-C.
up: setup
	@$(BIN)/nightsoak up

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# Files of tests run side by side, as many as there are cores: much of the time they wait for real processes.
test: lint
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# The long fault runs, ten real minutes in the shadow and the recovery matrix; says how far it is, at most twenty
# minutes. RUNBOOK=1 puts the matrix into docs/runbook.md. The optional extra is installed, so that it is tested too.
soak-test: setup $(DASK)
	@$(BIN)/python tests/recovery/runbook.py

# Prints our figures beside the peers' and writes benchmarks/results.json; twenty-five minutes or so.
bench: setup
	@$(BIN)/python benchmarks/run.py

# The picture of a report in Prefect's UI (needs Debian's chromium and chromium-driver).
screenshots: setup
	@NIGHTSOAK_SCREENSHOTS=1 $(BIN)/python -m pytest tests/flows/test_up.py

# Makes the committed example run again.
example: setup
	@$(BIN)/python -m engine.example

clean:
	rm -rf $(VENV) build *.egg-info
