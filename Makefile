.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
UV := $(BIN)/uv
INSTALLED := .venv/.installed
DATA_TESTS ?=

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pins.txt pyproject.toml serving/dafsn_client/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	$(UV) pip install --quiet --python $(BIN)/python -r pins.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e . -e serving/dafsn_client
	touch $@

install: $(INSTALLED) ## Set up .venv with the pinned versions

demo: $(INSTALLED) ## The whole way on generated scenes: data, training, evaluation, export, server, answers
	$(BIN)/dafsn demo

pictures: demo ## Run the demo and take its pictures into the README (docs/pictures)
	$(BIN)/python docs/pictures/renew.py demo/pictures

test: $(INSTALLED) ## The default tests (about 11 minutes on 2 cores)
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile

test-all: $(INSTALLED) ## Every test, the slow ones too
	$(BIN)/pytest -n 2 --dist loadfile

conformance: $(INSTALLED) ## TARGET=host:port [MODEL= MODELS= THREADS= BATCHING= TLS= CERTIFICATES=]: tests/conformance/README.md
	CONFORMANCE_TARGET=$(TARGET) CONFORMANCE_MODEL=$(MODEL) CONFORMANCE_MODELS=$(MODELS) \
	CONFORMANCE_THREADS=$(THREADS) CONFORMANCE_BATCHING=$(BATCHING) \
	CONFORMANCE_TLS=$(TLS) CONFORMANCE_CERTIFICATES=$(CERTIFICATES) $(BIN)/pytest tests/conformance

lint: $(INSTALLED) ## ruff, pyright, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

reproduce: $(INSTALLED) ## SET=flickr8k or pascal-sentence, SOURCE=its folder: train the preset, print measured beside expected
	@test -n "$(SET)" && { test -d data/$(SET) || test -n "$(SOURCE)"; } || \
		{ echo "make reproduce needs SET=flickr8k or SET=pascal-sentence, and SOURCE=the folder of that collection"; exit 2; }
	test -d data/$(SET) || $(BIN)/dafsn prepare $(SET) --source "$(SOURCE)" --out data/$(SET)
	$(BIN)/dafsn train --config $(subst -,_,$(SET)) --data data/$(SET) --run runs/$(SET) $(if $(wildcard runs/$(SET)),--resume)
	$(BIN)/dafsn evaluate runs/$(SET) --data data/$(SET) --json runs/$(SET)/evaluation.json
	$(BIN)/python benchmarks/results.py beside $(SET) --evaluation runs/$(SET)/evaluation.json

results: $(INSTALLED) ## Build benchmarks/RESULTS.md and other documents' tables from benchmarks/runs/*.json
	$(BIN)/python benchmarks/results.py

pins: ## Renew pins.txt from pyproject.toml
	$(UV) pip compile --quiet --no-header --no-annotate --universal --python-version 3.11 --group dev pyproject.toml serving/dafsn_client/pyproject.toml --no-emit-package dafsn-client -o pins.txt --upgrade

.PHONY: help install demo pictures test test-all conformance lint reproduce results pins
