# Two commands: `make repro` runs the study, `make test` the tests. The environment builds itself.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.arml-ready

# The first of these that runs and is 3.11 or 3.12; or name one: make repro PYTHON=/path/to/python
CANDIDATES := python3.12 python3.11 python3 python
SUPPORTED  := import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 12)))
PYTHON ?= $(shell for p in $(CANDIDATES); do \
            if "$$p" -c '$(SUPPORTED)' >/dev/null 2>&1; then echo "$$p"; break; fi; done)

.PHONY: help env repro paper full sensitivity seeds options runtime gap networks own toy test test-rest test-long test-all nightly fuzz check bench bench-attacks bench-exact docs faults wheel clean-env
.DELETE_ON_ERROR:

help:
	@echo "make repro      build the environment if needed, run the default study (dvc repro)"
	@echo "make paper      the paper's study: six data sets, from the mirror in ARML_MIRROR, into reports/ (says its cost first)"
	@echo "make full       MNIST and Fashion-MNIST in full, from the mirror too"
	@echo "make sensitivity | seeds | options   sweeps of ARML's parameters (flows/sweeps) into reports/"
	@echo "make runtime    running times of the learners, section 4.4 (40 minutes, idle machine), into reports/"
	@echo "make networks   1-NN beside neural networks, a part of make paper (25 minutes), into .studies/networks/reports"
	@echo "make gap        certificates against attacks at K = 11 on 1000 points (45 minutes), from the mirror, into reports/"
	@echo "make own FILE=wine.csv LABEL=quality [TEST=…] [SET='missing=median encode=one-hot']   a study of your own file"
	@echo "make toy        a study of seconds, in a workspace of its own"
	@echo "make test       the tests that a change must pass, at most 10 minutes: unit, property, golden, a toy study"
	@echo "make test-all   all tests, some 35 minutes: the pipeline under faults, schedules, sweeps, clusters; the wheel too"
	@echo "make nightly    the tests by random examples other than make test's; SEED=… repeats a night"
	@echo "make fuzz       random problems against brute force, ten million probes (minutes); SEED=… repeats a run"
	@echo "make check      ruff and mypy"
	@echo "make bench      time against a straightforward implementation; reports/benchmarks"
	@echo "make bench-attacks  the geometric attack against the Boundary Attack (40 minutes), from the mirror"
	@echo "make bench-exact  exact 3-NN radii of two classes (minutes), from the mirror; reports/benchmarks"
	@echo "make docs       guide, reference and gallery as pages that open from disk: docs/_build/index.html"
	@echo "make faults     kill the toy study 60 times at random moments, and workers of clusters; compare the bytes (25 minutes)"
	@echo "make wheel      the library by itself: sdist, wheel, clean environment, its unit tests"
	@echo "make clean-env  remove $(VENV)"

# a study's reports, out of its workspace into this repository
keep = rm -rf reports/$(1) && mkdir -p reports/$(1) && cd .studies/$(1)/reports && \
  cp -R index.md metrics.json tables figures ../../../reports/$(1)/

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
	  echo "error: Python 3.11 or 3.12 is needed, and none of '$(CANDIDATES)' is one." >&2; \
	  echo "       Install it, or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@"$(PYTHON)" -c '$(SUPPORTED)' || { \
	  echo "error: $(PYTHON) is $$("$(PYTHON)" -V 2>&1); Python 3.11 or 3.12 is needed." >&2; exit 1; }
	@if ! $(BIN)/python -c '$(SUPPORTED)' 2>/dev/null; then \
	  echo "[env] creating $(VENV) with $$("$(PYTHON)" -V)"; "$(PYTHON)" -m venv --clear $(VENV); fi
	@echo "[env] installing the pinned packages (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools
	@$(BIN)/python -m pip install --disable-pip-version-check --no-build-isolation --progress-bar off \
	  -c constraints.txt -e '.[pipeline,dev]' | awk '/^(Collecting|Processing|Requirement)/ { n++ } \
	    n >= last + 40 { last = n; print "[env]   " n " requirements looked up"; fflush() } \
	    /^Installing/ { print "[env]   installing " NF - 3 " packages"; fflush() }'
	@if git rev-parse --git-dir >/dev/null 2>&1; then \
	  git config merge.generated.name "keep one side of what the next run makes anew" && \
	  git config merge.generated.driver true; fi
	@touch $(STAMP)
	@echo "[env] ready"

repro: $(STAMP)
	@$(BIN)/python -m flows.repro

paper: $(STAMP)
	@$(BIN)/python -m flows.repro --study paper
	@$(call keep,paper)
	@$(BIN)/python -m flows.costs --study paper

full: $(STAMP)
	@$(BIN)/python -m flows.repro --study full

sensitivity seeds options: $(STAMP)
	@$(BIN)/python -m flows.sweep $@

gap: $(STAMP)
	@$(BIN)/python -m flows.repro --study gap
	@$(call keep,gap)
	@$(BIN)/python -m flows.costs --study gap

networks: $(STAMP)
	@$(BIN)/python -m flows.repro --study networks

runtime: $(STAMP)
	@$(BIN)/python -m flows.repro --study runtime runtime_report@usps
	@mkdir -p reports/runtime
	@cp -R .studies/runtime/reports/runtime/usps reports/runtime/

own: $(STAMP)
	@$(BIN)/python -m flows.own "$(FILE)" $(if $(LABEL),--label "$(LABEL)") $(if $(TEST),--test "$(TEST)") \
	  $(foreach setting,$(SET),--set "$(setting)")

toy: $(STAMP)
	@$(BIN)/python -m flows.repro --study toy

# OMP_NUM_THREADS: tests run side by side, and sums in one order give the same bytes
PYTEST = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n auto --dist loadgroup

test: $(STAMP)
	@echo "[test] unit, property, golden and documentation tests, and a toy study"
	@$(PYTEST) -m "not slow and not pipeline"

test-rest: $(STAMP)
	@echo "[test] what \`make test\` leaves out: the pipeline under faults, schedules, sweeps and clusters; slow golden tests"
	@$(PYTEST) -m "(slow or pipeline) and not long"

test-long: $(STAMP)
	@echo "[test] what takes longest: a Ray cluster of two hosts, two queued experiments"
	@$(PYTEST) -m long

test-all: test test-rest test-long wheel

# what `make test` draws is fixed; here it is not, and the seed says how to see it again
nightly: $(STAMP)
	@seed=$${SEED:-$$(date +%s)}; echo "[nightly] seed $$seed: make nightly SEED=$$seed draws the same again"; \
	  OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n auto --dist loadgroup tests/unit tests/property \
	  --hypothesis-profile nightly --hypothesis-seed $$seed

fuzz: $(STAMP)
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m tests.fuzz --seed $${SEED:-$$(date +%s)} $(if $(PROBES),--probes $(PROBES))

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict arml flows docs

bench: $(STAMP)
	@$(BIN)/python -m tests.benchmarks

bench-attacks: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.attacks

bench-exact: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.exact

faults: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/integration/test_injected_faults.py \
	  tests/integration/test_hosts.py --faults 60 -s

docs: $(STAMP)
	@$(BIN)/python -m docs.build

wheel: $(STAMP)
	@bash .ci/wheel

clean-env:
	rm -rf $(VENV)
