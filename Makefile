# Needs only python3.11, pip, make and git. Everything lands in .venv.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
PIP    := $(BIN)/pip --disable-pip-version-check --quiet

unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench bench-soak bench-quality fuzz dashboards lock clean

help: ## list what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/runtime.stamp ## create .venv from requirements.lock and install Trimtab into it

demo: $(VENV)/runtime.stamp ## run the whole loop on a small real network; ARGS="--hold --json out.json"
	@$(BIN)/trimtab demo $(ARGS)

test: $(VENV)/dev.stamp ## run the whole test suite, and print how long each part took
	@.ci/tests $(ARGS)

lint: $(VENV)/dev.stamp ## ruff, mypy strict, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp ## measure beside Prometheus, VictoriaMetrics and the machine's limits (15 minutes)
	@bench/install_peers
	@mkdir -p bench/results
	$(BIN)/python -m bench --json bench/results/bench.json $(ARGS)
	$(BIN)/python -m bench.peers --quick --rounds 1 --json bench/results/peers.json

bench-soak: $(VENV)/dev.stamp ## 1 million series for 10 minutes with churn; ARGS="--series 100000 --minutes 2"
	@mkdir -p bench/results
	$(BIN)/python -m bench.soak --json bench/results/soak.json $(ARGS)

DATA ?= ../shared/data
bench-quality: $(VENV)/dev.stamp ## judge detectors, causes and warnings on recordings; DATA=folder ARGS="--json out.json"
	$(BIN)/python -m bench.quality --data $(DATA) $(ARGS)

fuzz: $(VENV)/dev.stamp ## look for bytes that a receiver does not bear (atheris); ARGS="otlp --seconds 600"
	$(BIN)/python -m bench.fuzz $(ARGS)

dashboards: $(VENV)/dev.stamp ## build dashboards/json from dashboards/build.py
	$(BIN)/python -m dashboards.build

lock: ## resolve the dependencies anew (needs uv on the PATH)
	.ci/lock

clean: ## remove .venv and everything that was generated
	rm -rf $(VENV) build dist var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The last thing that a new environment gets is pip: a half-made one is made again.
$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.stamp: $(VENV)/bin/pip requirements.lock pyproject.toml
	@echo "installing the locked dependencies into $(VENV) (a minute or so) ..."
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -m trimtab.compiled
	@touch $@

$(VENV)/dev.stamp: $(VENV)/bin/pip requirements-dev.lock pyproject.toml
	@echo "installing the locked development dependencies into $(VENV) (a minute or two) ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -m trimtab.compiled
	@touch $@ $(VENV)/runtime.stamp
