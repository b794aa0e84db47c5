# Everything a developer or a user of this repository does. `make help` lists it.

SHELL := /bin/bash
PYTHON ?= python3
UV_HOME := .uv
WORKERS := $(shell expr $$(nproc) + 1)
UV := $(shell command -v uv 2>/dev/null || echo $(UV_HOME)/bin/uv)
# uv brings certificates of its own; those of the system know the authority of a proxy as well.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),true,false)
RUN := env -u PYTHONDONTWRITEBYTECODE .venv/bin

BENCH ?= serving
ROUNDS ?= 7

.PHONY: help setup check test demo bench bench-against docs migration clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(UV_HOME)/bin/uv:
	@$(PYTHON) -m venv $(UV_HOME) && $(UV_HOME)/bin/pip install --quiet uv

.venv/.ready: pyproject.toml uv.lock | $(if $(findstring $(UV_HOME),$(UV)),$(UV_HOME)/bin/uv)
	@env -u PYTHONDONTWRITEBYTECODE $(UV) sync --frozen --quiet --compile-bytecode --python $(PYTHON) && touch $@

setup: .venv/.ready ## Make .venv with the modelyard command in it

check: setup ## Formatting, lint, types and layers
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/mypy
	@$(RUN)/lint-imports

test: check ## Everything above, and all tests; those that fail beside others are tried once more alone
	@$(RUN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder || $(RUN)/pytest --last-failed --last-failed-no-failures none

demo: setup ## The whole story on a real server: push, build, test, deploy, predict (ONCE=1 stops it at the end)
	@$(RUN)/python demo/run.py $(if $(ONCE),--once)

bench: setup ## Speed, side by side with peers and floors
	@$(RUN)/python -m benchmarks

bench-against: setup ## Speed beside another commit: REF=main (ROUNDS=7, BENCH="serving jobs")
	@$(RUN)/python -m benchmarks.against --rounds "$(ROUNDS)" --bench "$(BENCH)" -- "$(REF)"

docs: setup ## The documentation as a site in site/
	@env -u PYTHONDONTWRITEBYTECODE $(UV) run --frozen --quiet --isolated --only-group docs sphinx-build -qW docs site

migration: setup ## Write the database revision again from the tables (until the first release)
	@$(RUN)/python -m modelyard.kernel.migrations

clean: ## Remove everything that was made here
	@rm -rf .venv $(UV_HOME) .demo site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
