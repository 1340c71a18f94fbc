# `make demo` and `make test` need python3 (>= 3.11) with venv, make, git and PyPI: nothing else, and nothing in $HOME.
# What the plugins are tested against, `make test` installs where it may: .ci/packages.

# The oldest Python of the system, whatever else is first on PATH.
PYTHON ?= $(firstword $(wildcard $(foreach minor,11 12 13 14,/usr/bin/python3.$(minor))) python3)
VENV := .venv
TOX := $(VENV)/bin/tox
KEYSVC := $(VENV)/bin/keysvc
MADE := $(VENV)/.made
INSTALL := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-compile
LOCKED := $(INSTALL) --no-deps --require-hashes -r

.DEFAULT_GOAL := help
.PHONY: help demo test test-all docs lint types relock python console failover deaths chaos ha model fuzz oldest newest trixie systemd reproducible bench bench-quick rotation-at-scale clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

demo: $(KEYSVC)  ## the whole story on this machine, in a temporary folder
	@$(KEYSVC) demo

# The interpreter of .venv runs the whole suite: its quick part on top would be the same again.
test: $(TOX)  ## lint, types, the whole suite, the plugins', and the quick part on every other Python that is there
	@.ci/packages
	@echo "make: checking and testing with tox"
	@TOX_SKIP_ENV="$$($(VENV)/bin/python -c 'import sys; print("py3%d-unit" % sys.version_info.minor)')" $(TOX) run

# What takes longer than `make test` adds its target here.
test-all: test model console deaths failover chaos ha oldest newest trixie systemd reproducible  ## `make test`, and all that takes longer: hours

lint: $(TOX)  ## ruff, import-linter, codespell
	@$(TOX) run -e lint

types: $(TOX)  ## mypy
	@$(TOX) run -e types

docs: $(TOX)  ## the site of the documentation, in build/site; a dead link fails
	@$(TOX) run -q -e docs
	@echo "make: the documentation is in build/site/index.html"

deaths: $(TOX)  ## SIGKILL at every place where a master secret server writes; prints the places with what was found
	@KEYSVC_ALL_DEATHS=1 $(TOX) run -e faults -- -s -k "die_at_every or dies_at_any" tests/faults/test_master_deaths.py tests/faults/test_standby_deaths.py tests/faults/test_released_data.py tests/faults/test_upgrade_deaths.py
	@KEYSVC_ALL_DEATHS=1 $(TOX) run -e postgresql -- -n 4 -rP plugins/keysvc-postgresql/tests/test_postgresql_deaths.py plugins/keysvc-postgresql/tests/test_postgresql_upgrade.py

console: $(TOX)  ## the console in Chromium and Firefox: every page, state and theme, every task by keyboard, a million mappings
	@.ci/packages
	@KEYSVC_ALL_PAGES=1 $(TOX) run -e console -- -s plugins/keysvc-console/tests

oldest: $(TOX)  ## the suite on the oldest releases of what keysvc depends on
	@$(TOX) run -e oldest

newest: $(TOX)  ## the suite and the plugins' on the newest releases, whatever requirements/ says
	@.ci/packages
	@$(TOX) run --recreate -e newest

trixie:  ## `make demo` and `make test` in a root of Debian trixie: as root
	@.ci/trixie make demo
	@.ci/trixie make test

systemd:  ## the Debian package and its units under a real systemd, in a machine of its own: as root, with uv
	@.ci/systemd

reproducible:  ## the release, built twice in two directories: the same bytes, or it fails; with uv
	@.ci/reproducible

relock: $(TOX)  ## write requirements/ anew, with the newest releases
	@$(TOX) run -q -e relock

python:  ## print the Python that the other targets run
	@echo $(PYTHON)

# What is measured is the checkout. Some jobs of BENCH="lookup --json", for example.
bench: $(TOX)  ## every benchmark against its floor: the table of docs/performance.md, in under 15 minutes
	@.ci/packages
	@$(TOX) run -q -e bench -- $(BENCH)

bench-quick: $(TOX)  ## the same, smaller, in under two
	@$(TOX) run -q -e bench -- --quick $(BENCH)

ROWS ?= 1000000
rotation-at-scale: $(KEYSVC)  ## a rotation of ROWS mappings under look-ups: rate, memory, failed look-ups
	@$(VENV)/bin/python -m benchmarks.rotation_at_scale --rows $(ROWS)

TIMES ?= 20
failover: $(TOX)  ## kill -9 of the active master secret server, TIMES times: how long until another answers
	@KEYSVC_FAILOVERS=$(TIMES) KEYSVC_FAILOVER_TTL=5 $(TOX) run -e e2e -- -s tests/e2e/test_failover.py

STORE ?= sqlite
MINUTES ?= 10
chaos: $(TOX)  ## kills, pauses, partitions, rotations by a plan: make chaos STORE=sqlite|postgresql SEED=… MINUTES=…
	@.ci/packages
	@$(TOX) run -e chaos -- --store $(STORE) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

ha: export MINUTES := $(if $(filter file,$(origin MINUTES)),30,$(MINUTES))
ha: $(TOX)  ## a fleet on three PostgreSQL servers under Patroni that fail over: make ha SEED=… MINUTES=30 ONLY="commits_lost"
	@.ci/packages
	@$(TOX) run -e ha -- --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)")

model:  ## the model of the protocol in docs/model: visits every state, then takes out each guard
	@.ci/packages
	@PYTHONPATH=tests/support $(PYTHON) -m model_checking --whole

fuzz: $(TOX)  ## each parser of outside input for MINUTES, or some: make fuzz MINUTES=10 TARGETS="tickets backup"; keeps what fails
	@.ci/packages
	@$(TOX) run -q -e fuzz -- --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(TARGETS)

clean:  ## remove what the other targets made
	rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build

# --clear, because an outdated environment is not worth mending. -qq keeps pip to its errors; --no-compile, because Python
# compiles what is imported, which is less.
$(MADE): $(wildcard requirements/*.txt) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("keysvc needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(KEYSVC): $(MADE)
	@echo "make: installing keysvc into $(VENV)"
	@$(LOCKED) requirements/keysvc.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .

$(TOX): $(MADE)
	@echo "make: installing tox into $(VENV)"
	@$(LOCKED) requirements/tox.txt
