# Everything a newcomer types. `make` alone lists it.
SHELL := /bin/bash
BIN := .venv/bin
PLANS ?= plans
SEED ?= 1
SEEDS ?= 50
BENCH ?=
VIRTUAL := inventory/virtual.yaml
SIM := inventory/sim.yaml

.DEFAULT_GOAL := help
.PHONY: help setup run sim test grade drill bench soak soak-kernel fuzz lint clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## install what is missing: apt packages (as root), .venv, the package
	@.ci/setup

run: setup ## run every shipped plan on the virtual bench, else on the sim bench: BENCH=FILE for another
	@bench=$(BENCH); \
	if [[ -z $$bench ]]; then \
	    bench=$(VIRTUAL); \
	    $(BIN)/testbed doctor >/dev/null 2>&1 || { \
	        bench=$(SIM); \
	        echo "make run: the virtual lab cannot run here ('testbed doctor' says why): on the sim lab instead" >&2; \
	    }; \
	fi; \
	$(BIN)/testbed run --bench $$bench $(PLANS)

sim: setup ## run every shipped plan, the slow ones too, on simulated devices in virtual time
	@$(BIN)/testbed run --bench $(SIM) $(PLANS)

test: ## run the project's own tests
	@.ci/setup tests
	@$(BIN)/python -m pytest

grade: setup ## grade the shipped plans on the sim lab: every defect caught, no false alarm on SEEDS good benches
	@$(BIN)/testbed plans grade --seeds $(SEEDS) $(if $(filter plans,$(PLANS)),,--plans $(PLANS))

drill: setup ## run every plan against devices made wrong on purpose: each must fail
	@$(BIN)/testbed drill --bench $(or $(BENCH),$(VIRTUAL)) $(PLANS)

bench: ## measure it beside its peers: BENCHMARKS="wire_tcp ..." for some of them only
	@.ci/setup bench
	@$(BIN)/python -c 'import dpkt, pytcp' 2>/dev/null || \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@$(BIN)/python tests/benchmarks $(BENCHMARKS)

soak: setup ## two thousand seeded transfers between two stacks, under every fault
	@PYTHONPATH=tests/helpers $(BIN)/python tests/helpers/soak.py $(SEED) 2000

fuzz: setup ## a million mutated frames into a live stack
	@PYTHONPATH=tests/helpers $(BIN)/python tests/helpers/fuzz.py 1000000 $(SEED)

soak-kernel: setup ## two hundred seeded transfers between a stack and a Linux kernel, likewise
	@$(BIN)/testbed run --bench $(or $(BENCH),$(VIRTUAL)) --no-prove tests/soak/soak_kernel.py

lint: setup ## check style, types and layers
	@.ci/lint

clean: ## remove what set-up and tests left here
	rm -rf .venv *.egg-info build reports .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	    .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
