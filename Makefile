# One way to run each thing; CI calls the same targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
NATIVE := $(filter-out native/_%.c,$(wildcard native/*.pyx native/*.pxi native/*.c native/*.h))

.PHONY: help run test test-aiohttp test-long faults faults-long lint demo bench bench-check compare queue load overload growth lock clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt setup.py pyproject.toml $(NATIVE) | $(BIN)/python
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

run: $(VENV)/.run  ## everything at once for a first look: store, keys, campaign, codes, service
	@$(BIN)/scanner run

demo: $(VENV)/.run  ## a spike against a private service, checked by the audit
	@$(BIN)/scanner demo

lint: $(VENV)/.dev  ## format, style, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PATH=$(CURDIR)/$(BIN):$$PATH cython-lint native
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint  ## lint, then all tests on a private store
	$(BIN)/python -m pytest

# These play both lanes by themselves, or know of none.
EITHER := fast_lane* throttle addresses alarm admission key_files key_rotation graceful guard limits shedding secrets \
	fairness restored_histories forgeries prize_engine planted_bugs points_service poisoned_event tutorial
test-aiohttp: $(VENV)/.dev  ## the service's tests once more, without the fast lane
	SCANNER_FAST_LANE=false $(BIN)/python -m pytest $(foreach one,$(EITHER),--ignore-glob='*/test_$(one).py') \
		tests/service tests/scenarios tests/faults/test_outage.py

# Kills at a chosen system call need strace; without it those cases say that they are skipped.
STRACE := command -v strace >/dev/null || apt-get install -y -qq strace >/dev/null 2>&1 || true

faults: $(VENV)/.dev  ## stores and workers killed, power cuts, lost replies: CI's share, with its figures
	@$(STRACE)
	$(BIN)/python -m pytest -s tests/faults

faults-long: $(VENV)/.dev  ## the nightly share of the same: hundreds of kills, 100,000 scans
	@$(STRACE)
	SCANNER_FAULTS=long $(BIN)/python -m pytest -s -o faulthandler_timeout=0 tests/faults tests/queue/test_bridge_kills.py

test-long: $(VENV)/.dev  ## the long runs: 200,000 random steps against the plain model, of a new seed
	SCANNER_TEST_STEPS=200000 $(BIN)/python -m pytest -s -o faulthandler_timeout=0 tests/scenarios/test_prize_engine.py

bench: $(VENV)/.dev  ## what each part of a scan costs, as a table
	$(BIN)/python -m bench

bench-check: $(VENV)/.dev  ## the same as ratios, held against bench/expected.toml
	$(BIN)/python -m bench --check

compare: $(VENV)/.dev  ## side by side with an empty handler, FastAPI and Fastify
	$(BIN)/python -m bench.compare

growth: $(VENV)/.dev  ## cost and memory as claims, workers and campaigns grow
	$(BIN)/python -m bench.growth

queue: $(VENV)/.dev  ## a million events through one consumer in each form, and a late group that catches up
	$(BIN)/python -m bench.queue

load: $(VENV)/.dev  ## a television spot, rehearsed against a service of its own
	$(BIN)/python -m loadtests spike

overload: $(VENV)/.dev  ## the service at up to ten times its peak, beside itself without admission; draws docs/overload.svg
	$(BIN)/python -m loadtests overload --svg docs/overload.svg --json build/overload.json \
		--control SCANNER_SHEDDING=false --control SCANNER_WAIT_MAX_MS=60000

lock: $(VENV)/.dev  ## renew the locked requirements
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --group build --extra archive pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --group dev --all-extras -c requirements/run.txt pyproject.toml -o requirements/dev.txt

clean:  ## remove what was built
	rm -rf $(VENV) build *.egg-info scanner/codes/*.so scanner/service/fast_lane/*.so native/_native.c native/_fast_lane.c
