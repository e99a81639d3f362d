# `make demo` and `make test` do all of their own set-up; nothing else is needed first.

PYTHON ?= python3
BIN := .venv/bin
DEMO := outputs/demo

.PHONY: help setup setup-python setup-engine setup-models demo reference test lint test-fast bench bench-models bench-rank bench-score clean

help:
	@echo "make demo    set up, run the demo submissions on the sample cases, score, rank, report"
	@echo "make reference   set up, run the reference submissions on sample and real cases, tell what they cost"
	@echo "             (ARGS='--only litemedsam,litemedsam-cpp --write' chooses, and writes the tables into docs/)"
	@echo "make test    set up, then lint, types and all tests (the Docker ones too)"
	@echo "make setup   set up only: .venv, a container engine, a base image"
	@echo "make setup-models  add torch (CPU) and openvino to .venv, for the reference submissions"
	@echo "make bench   measure the harness's own overhead"
	@echo "make bench-models  time the reference submissions: networks, containers, masks, sizes"
	@echo "make bench-rank   time the ranking and its bootstraps"
	@echo "make bench-score  time scoring against DeepMind's package, and its workers, start and memory"

setup: setup-python setup-engine

setup-python:
	@PYTHON=$(PYTHON) scripts/setup-venv

setup-engine: setup-python
	@scripts/setup-docker
	@$(BIN)/python scripts/setup-images

setup-models: setup-python
	@scripts/setup-models

demo: setup
	@$(BIN)/python evaluate.py docker/boxfill docker/ellipse docker/threshold \
	  --cases inputs/imgs --gts inputs/gts --out $(DEMO)

reference: setup
	@$(BIN)/python scripts/reference-submissions $(ARGS)

test: setup setup-models lint
	@if scripts/setup-browser; then export HARNESS_NEED_BROWSER=1; fi; \
	HARNESS_NEED_DOCKER=1 $(BIN)/python -m pytest --numprocesses $$(nproc) --dist loadgroup

lint: setup-python
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test-fast: setup-python lint
	$(BIN)/python -m pytest -m "not docker and not slow"

bench: setup
	$(BIN)/python benchmarks/overhead.py

bench-models: setup setup-models
	@$(BIN)/python scripts/setup-images --models
	@$(BIN)/python -m benchmarks.models $(ARGS)

bench-rank: setup-python
	$(BIN)/python benchmarks/ranking.py

bench-score: setup-python
	$(BIN)/python -m benchmarks.scoring

clean:
	rm -rf .venv $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis
