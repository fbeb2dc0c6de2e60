# Everything here works on a fresh clone: each target makes the environment it needs.
# Needs Python 3.11+, git, make and a C compiler; nothing else preinstalled.

PYTHON ?= python3
VENV := .venv
COMPILED := .venv-compiled
BIN := $(VENV)/bin
PORT ?=
SERVE_ARGS ?=
TORCH := torch==2.13.0
TORCH_VENV := .venv-torch
PII_VENV := .venv-pii
API_VENV := .venv-api
CLIENTS_VENV := .venv-clients
# Without what they bring along for pytest.
CLIENTS_TEST = $(CLIENTS_VENV)/bin/python -m pytest -q -p no:asyncio -p no:inline_snapshot
AGENTS_VENV := .venv-agents
# Properties of wire, core and perf: of the others none reaches a line more.
PURE_PROPERTIES = $(filter-out $(foreach what,config_properties known_answers known_requests ledger_roundtrip nothing_leaks \
	screening straight_passage,tests/property/test_$(what).py),$(wildcard tests/property/test_*.py))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help serve test test-torch test-pii test-api test-clients test-agents test-conformance test-compiled check lint types \
	imports docs-check coverage demo compiled bench lock \
	regenerate format clean

help: ## Show what can be made
	@echo "Overspill: one LLM endpoint, local first, that never answers \"server busy\""
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(VENV)/.serve ## Serve the endpoint with the built-in model (PORT=8788)
	$(BIN)/overspill serve $(if $(PORT),--port $(PORT)) $(SERVE_ARGS)

test: $(VENV)/.dev ## Run the tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile tests

test-torch: $(TORCH_VENV)/.ready ## Run the tests of the built-in model's training and export (installs PyTorch)
	OMP_NUM_THREADS=1 $(TORCH_VENV)/bin/python -m pytest -q tests/torch

test-pii: $(PII_VENV)/.ready ## Run the tests of the detectors that need Presidio (installs spaCy)
	$(PII_VENV)/bin/python -m pytest -q tests/unit/detectors tests/e2e/test_screening.py

test-clients: $(CLIENTS_VENV)/.ready ## Drive a gateway with real clients, for Python and Node.js (installs them)
	$(CLIENTS_TEST) -n 2 tests/clients

test-agents: $(CLIENTS_VENV)/.ready $(AGENTS_VENV)/.ready ## Drive a gateway with Claude Code, Codex, qwen-code, aider (installs 1.4 GB)
	OVERSPILL_AGENTS=1 $(CLIENTS_TEST) tests/agents

test-conformance: $(CLIENTS_VENV)/.ready ## Run openai's and anthropic's own tests against a gateway (downloads them)
	$(CLIENTS_TEST) -rP tests/conformance

test-api: $(API_VENV)/.ready ## Hold the API to its OpenAPI document with schemathesis, in some three minutes (API_SECONDS=120)
	$(API_VENV)/bin/python -m pytest -q tests/api

check: lint types imports docs-check ## Lint, types, import contracts, generated pages

lint: $(VENV)/.dev ## Style and common mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy --strict
	$(BIN)/mypy

imports: $(VENV)/.dev ## Who may import whom
	$(BIN)/lint-imports

docs-check: $(VENV)/.dev ## Generated pages are current, examples run
	$(BIN)/python -m pytest -q tests/docs

coverage: $(VENV)/.dev ## 100 % of branches of wire, core and perf
	COVERAGE_FILE=$(VENV)/.coverage $(BIN)/python -m pytest -q -n 2 --dist loadfile tests/unit/wire tests/unit/core \
		tests/unit/perf $(PURE_PROPERTIES) tests/replay \
		--cov=overspill.wire --cov=overspill.core --cov=overspill.perf --cov-branch --cov-report=term-missing --cov-fail-under=100

demo: $(VENV)/.serve ## A real trace through a real gateway at 3 times local capacity
	$(BIN)/overspill rehearse --seconds $(or $(DEMO_SECONDS),60) --out $(VENV)/rehearsal.json
	$(BIN)/overspill simulate --rehearsal $(VENV)/rehearsal.json

compiled: $(COMPILED)/.made ## The data path as native code, in .venv-compiled: less CPU per request

test-compiled: $(COMPILED)/.made ## The tests of what is compiled, on it
	$(COMPILED)/bin/python -c 'import overspill.core.controller as c, sys; sys.exit(c.__file__.endswith(".py"))'
	$(COMPILED)/bin/python -m pytest -q -n 2 --dist loadfile tests/unit/core tests/unit/gateway tests/unit/wire tests/replay \
		tests/contract tests/e2e --ignore tests/e2e/test_builtin_model.py --ignore tests/e2e/test_fault_lab.py \
		--ignore tests/e2e/test_rehearse_faults.py --ignore tests/e2e/test_rehearsal_run.py

bench: $(COMPILED)/.made ## CPU per request and per chunk, beside nginx and sglang-router
	OVERSPILL=$(COMPILED)/bin/overspill $(BIN)/python benchmarks/gateway/run.py

regenerate: $(VENV)/.dev ## Write the generated pages anew
	OVERSPILL_REGENERATE=1 $(BIN)/python -m pytest -q tests/docs tests/unit/config/test_config_reference.py

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Resolve the dependencies anew (needs uv and npm)
	uv pip compile pyproject.toml --group dev --extra local --extra parquet --extra report --universal --generate-hashes \
		--python-version 3.11 --no-emit-index-url --no-annotate --custom-compile-command "make lock" -q -o requirements/dev.txt
	uv pip compile pyproject.toml --group build --extra local --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" -c requirements/dev.txt -q -o requirements/serve.txt
	uv pip compile pyproject.toml --group torch --extra local --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" -c requirements/dev.txt -q -o requirements/torch.txt
	uv pip compile pyproject.toml --group dev --extra local --extra parquet --extra pii --universal --generate-hashes \
		--python-version 3.11 --no-emit-index-url --no-annotate --custom-compile-command "make lock" -q -o requirements/pii.txt

	uv pip compile pyproject.toml --group clients --extra local --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" -c requirements/dev.txt -q -o requirements/clients.txt
	uv pip compile tests/agents/aider.in --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" -q -o requirements/agents.txt
	cd tests/clients && npm install --package-lock-only --silent
	cd tests/agents && npm install --package-lock-only --silent
	uv pip compile pyproject.toml --group api --extra local --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" -c requirements/dev.txt -q -o requirements/api.txt

clean: ## Remove the environment and caches
	rm -rf $(VENV) $(COMPILED) $(TORCH_VENV) $(PII_VENV) $(API_VENV) $(CLIENTS_VENV) $(AGENTS_VENV) tests/clients/node_modules \
		tests/agents/node_modules build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# The serve environment is a part of the dev environment, so one folder serves both. The locks are complete, so nothing is
# resolved: with `--no-deps` a release after the lock cannot trouble older resolvers (pip 23 and `coverage[toml]`).
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Overspill needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: requirements/serve.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements/serve.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(API_VENV)/.ready: requirements/api.txt pyproject.toml
	$(PYTHON) -m venv $(API_VENV)
	$(API_VENV)/bin/python -m pip install -q --require-hashes --no-deps -r requirements/api.txt
	$(API_VENV)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(PII_VENV)/.ready: requirements/pii.txt pyproject.toml
	$(PYTHON) -m venv $(PII_VENV)
	$(PII_VENV)/bin/python -m pip install -q --require-hashes --no-deps -r requirements/pii.txt
	$(PII_VENV)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(CLIENTS_VENV)/.ready: requirements/clients.txt tests/clients/package-lock.json pyproject.toml
	$(PYTHON) -m venv $(CLIENTS_VENV)
	$(CLIENTS_VENV)/bin/python -m pip install -q --require-hashes --no-deps -r requirements/clients.txt
	$(CLIENTS_VENV)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@if command -v npm >/dev/null; then cd tests/clients && npm ci --silent; \
		else echo "npm is missing, so clients for Node.js are left out: install Node.js 20 or newer, then make -B $@"; fi
	@touch $@

# `npm ci` refuses qwen-code's optional parts for other platforms, which have no version; `npm install` keeps to the lock
# as well. Of the install scripts only Claude Code's is run, which puts its program in place.
$(AGENTS_VENV)/.ready: requirements/agents.txt tests/agents/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing, and most agents come by it: install Node.js 20 or newer"; exit 1; }
	$(PYTHON) -m venv $(AGENTS_VENV)
	$(AGENTS_VENV)/bin/python -m pip install -q --require-hashes --no-deps -r requirements/agents.txt
	cd tests/agents && npm install --no-save --silent && node node_modules/@anthropic-ai/claude-code/install.cjs
	@touch $@

# PyTorch after the lock: what it depends on is there by then. Where the index has wheels for several devices, say which:
# `PIP_EXTRA_INDEX_URL=… make test-torch`.
$(TORCH_VENV)/.ready: requirements/torch.txt pyproject.toml
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip install -q --require-hashes --no-deps -r requirements/torch.txt
	$(TORCH_VENV)/bin/python -m pip install -q $(TORCH)
	$(TORCH_VENV)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements/dev.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.serve

# Built from a copy, since the compiler leaves its modules beside the sources, where they would be imported.
# With these flags a call within the compiled modules goes straight to its function: some per cent off a request.
$(COMPILED)/.made: requirements/dev.txt pyproject.toml $(shell find src -name '*.py') | $(VENV)/.dev
	$(BIN)/python -c 'import os, sys, sysconfig; h = os.path.join(sysconfig.get_path("include"), "Python.h"); sys.exit(None if os.path.exists(h) else "Compiling needs Python'"'"'s headers, and " + h + " is missing: install python3-dev, or the like.")'
	rm -rf build/compiled && mkdir -p build/compiled
	cp -R pyproject.toml README.md LICENSE src build/compiled
	cd build/compiled && PATH="$(CURDIR)/$(BIN):$$PATH" HATCH_BUILD_HOOKS_ENABLE=true \
		CFLAGS="-fvisibility=hidden -fno-semantic-interposition -fno-plt" \
		$(CURDIR)/$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist .
	test -x $(COMPILED)/bin/python || $(PYTHON) -m venv $(COMPILED)
	$(COMPILED)/bin/python -m pip install -q --require-hashes --no-deps -r requirements/dev.txt
	$(COMPILED)/bin/python -m pip install -q --no-deps --force-reinstall build/compiled/dist/*.whl
	@touch $@
