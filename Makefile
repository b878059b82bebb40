# Two commands matter: `make run` and `make test`. Everything else is for those who change the code.
.DEFAULT_GOAL := help
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
BIN := .venv/bin

# Tests that start real servers come last, so that a slip shows in seconds. tests/published needs DATA: see below.
SLOW := tests/deploy/ tests/replicas/ tests/contract/ tests/gateway/ tests/faults/ tests/prometheus/ tests/guide/ tests/browser/
SUITES := $(filter-out tests/published/ tests/__pycache__/,$(sort $(wildcard tests/*/ tests/test_*.py)))
# Tests wait more than they work, so that one more than there are cores is not too many.
JOBS ?= $(shell expr $$(nproc) + 1)
slow = $(filter $(SLOW),$(SUITES))
fast = $(filter-out $(SLOW),$(SUITES))

.PHONY: help run demo test check lint docs site lock check-published bench bench-quick bench-report soak audit-deps sbom \
	clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

run: ## start the gateway on 127.0.0.1:9100 (ARGS="--port 8080" adds flags)
	@scripts/venv run
	@exec $(BIN)/tristar serve $(ARGS)

demo: ## a gateway with simulated providers and traffic, no key needed (ARGS="--prometheus --port 9101")
	@scripts/venv run
	@exec $(BIN)/tristar demo $(ARGS)

test: ## install what the tests need, then run all of them (ARGS="-x" adds flags)
	@scripts/venv dev
	@scripts/apt-needs
	@$(BIN)/pytest -q -n $(JOBS) --dist loadscope --no-loadscope-reorder $(fast) $(slow) $(ARGS)

lint: ## format, lint, types, import contracts, generated files
	@scripts/venv dev
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "run: $(BIN)/ruff format"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src app 2> >(grep -v "nosec encountered" >&2)
	@$(BIN)/python scripts/generate.py --check
	@scripts/site

check: lint test ## everything that must hold before a change is accepted

docs: ## write the generated files
	@scripts/venv dev
	@$(BIN)/python scripts/generate.py

site: ## the documents as a site, in build/site
	@scripts/venv dev
	@scripts/site
	@echo "build/site/index.html"

lock: ## write requirements/*.lock from pyproject.toml (ARGS=--upgrade takes the newest)
	@scripts/venv dev
	@scripts/lock $(ARGS)

check-published: ## validate against published schemas: make check-published DATA=directory
	@test -d "$(DATA)" || { echo "usage: make check-published DATA=directory"; exit 2; }
	@scripts/venv dev
	@if compgen -G 'tests/published/test_*.py' >/dev/null; \
	then PUBLISHED_DATA="$(abspath $(DATA))" $(BIN)/pytest -q tests/published $(ARGS); \
	else echo "tests/published has no tests"; fi

bench: ## the benchmark; ARGS="--peers --scale" adds LiteLLM, Portkey, many keys and streams
	@scripts/venv dev
	@scripts/apt-needs
	@$(BIN)/python -m benchmarks.bench $(ARGS)

bench-quick: ## a benchmark of under two minutes
	@$(MAKE) bench ARGS="--quick $(ARGS)"

bench-report: ## write the figures of benchmarks/results.json into README.md and docs/performance.md
	@scripts/venv dev
	@$(BIN)/python -m benchmarks.report

soak: ## load for an hour, then memory and books; ARGS="audit" runs the long variants of tests by name
	@scripts/venv dev
	@scripts/apt-needs
	@$(BIN)/python -m benchmarks.soak $(ARGS)

audit-deps: ## ask for known faults of the locked dependencies (needs the network)
	@scripts/venv dev
	@scripts/supply audit

sbom: ## write what is in the locked dependencies to build/sbom.json (CycloneDX)
	@scripts/venv dev
	@scripts/supply sbom

clean: ## remove the environment and caches; data/ and logs/ stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
