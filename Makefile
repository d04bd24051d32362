# make demo: set up and run the main job.   make test: set up and check everything.
# make demo-ray: one shop on this host and on a Ray cluster of two workers here, with equal tables.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo demo-ray test lint types unit clean

demo: $(STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

demo-ray: $(STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo_ray.sh

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest

# The stamp is newer than what it was made from: a second run installs nothing.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): a few minutes the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,benchmarks]'
	@touch $@

-include tests/models/models.mk

clean:
	rm -rf $(VENV) .venvs .mypy_cache .ruff_cache .pytest_cache
