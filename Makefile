# The one place where a command is defined. `make` alone lists them.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo serve test faults lint format openapi docs examples describe bench migrate up down logs clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

demo: $(VENV)/installed ## film a small ViT that learns handwritten digits (about a minute after the install)
	@$(BIN)/python -m embedreel.demo $(ARGS)

serve: $(VENV)/installed ## API and worker on the embedded defaults, until Ctrl-C
	@$(BIN)/embedreel serve $(ARGS)

test: $(VENV)/installed-dev ## the test suite; ARGS=--services adds PostgreSQL and Redis, --cov tells what is covered
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal --durations 20 $(ARGS)

faults: $(VENV)/installed-dev ## inject every fault, count what is lost, write the table of docs/reliability.md (ARGS=--ci: minutes)
	$(BIN)/python -m tests.faults $(ARGS)

lint: $(VENV)/installed-dev ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs openapi: $(VENV)/installed ## write the generated documents anew, after a change of the API, a figure or another table
	$(BIN)/python -m testing.generate

examples: $(VENV)/installed-dev ## record the examples of the OpenAPI document from a real service (about a minute), then write the documents
	$(BIN)/python -m testing.record_examples
	$(BIN)/python -m testing.generate

describe: $(VENV)/installed ## count the layers of presets and well-known checkpoints anew, after a change of either
	$(BIN)/python -m core.learn.describe

bench: $(VENV)/installed-dev ## every figure that README and docs claim
	$(BIN)/python -m bench $(ARGS)

migrate: $(VENV)/installed ## bring the database of EMBEDREEL_DATABASE_URL to this version's schema
	$(BIN)/python -m worker --migrate

up: ## docker compose: API, worker, Redis, PostgreSQL
	docker compose up --build --detach

down: ## stop what `make up` started; volumes stay
	docker compose down

logs: ## follow the containers' logs
	docker compose logs --follow

clean: ## remove the virtual environment and caches; runs and films stay
	rm -rf $(VENV) .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

# TORCH_INDEX=… names the index that PyTorch comes from besides PyPI, TORCH_INDEX= is PyPI alone; torch_index.py chooses otherwise.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Embedreel needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make demo PYTHON=python3.11")'
	@echo "Installing into $(VENV), once: about 2 GB with PyTorch for CPUs, several more with CUDA."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	index=$$($(BIN)/python torch_index.py) && $(PIP_INSTALL) $${index:+--extra-index-url "$$index"} --editable '.[api,worker,client]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP_INSTALL) --quiet --editable '.[api,worker,client,s3,dev]'
	@touch $@
