# The commands of this repository. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo up down status install test chaos containers bench-api check format openapi lock

SHELL := /bin/bash
BIN := .venv/bin
SOURCES := services client tooling

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: install ## From a fresh clone: everything started, one real plan and one episode shown, everything stopped
	@exec $(BIN)/python -m devstack demo --tied

up: install ## Run the whole stack until Ctrl-C; ports: ASTROLABE_PLANNER_PORT, _CODETREE_PORT, _SANDBOX_PORT
	@exec $(BIN)/python -m devstack up --tied

down: install ## Stop a stack that runs in another terminal
	@exec $(BIN)/python -m devstack down

status: install ## Show what runs, and where
	@exec $(BIN)/python -m devstack status

install: ## Make .venv with everything in requirements.lock; at once when it is there
	@tooling/install

chaos: install ## Break the running stack in every way there is a fault for; the table goes to bench/results/chaos.md
	@$(BIN)/python -m devstack prepare
	@PYTHONPATH=. exec $(BIN)/python -m tests.chaos $(CHAOS)

bench-api: install ## Measure the planner's API and its workers; the table goes to bench/results/api.md
	@PYTHONPATH=. exec $(BIN)/python bench/api_bench.py $(BENCH)

test: install check ## From a fresh clone: set-up, checks, and all tests on real Postgres, Redis and sandbox
	@$(BIN)/python -m devstack prepare
	@exec $(BIN)/pytest -n auto

containers: install ## Build the images and run the hostile programs in them (needs an engine; CONTAINERS="--network host")
	@exec $(BIN)/python -m tests.containers $(CONTAINERS)

check: install ## Format, lint, types, and the rules between packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

format: install ## Rewrite the sources as `check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: install ## Write what each service says of itself to docs/openapi
	@$(BIN)/python tooling/openapi.py

lock: ## Resolve requirements.lock again from pyproject.toml
	$(BIN)/pip-compile --all-extras --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links \
		--allow-unsafe --build-deps-for=editable --output-file requirements.lock pyproject.toml
