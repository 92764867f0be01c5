# Everything a contributor runs. `make` alone lists it. Nothing here needs a cloud, a credential or root.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PINS := requirements.lock pyproject.toml

# The pins were made with 3.11; anything newer is taken when that is absent.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$python"; break; }; done)

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Slow networks: two minutes of silence and ten tries before pip gives up on a file.
PIP_INSTALL := $(PIP) install --no-compile --timeout 120 --retries 10
# Compiled on first use instead: more than half of the time to install, for modules of which a site uses a handful.
NOT_COMPILED := /(pulumi_azure_native|kubernetes_validate)/

# One worker for each core; `make test PYTEST_FLAGS=` runs one test after the other.
PYTEST_FLAGS ?= --numprocesses logical
# Four labs beside each other: much of the time is waiting. A file's tests are one story, and stay together.
LAB_FLAGS ?= --numprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(INSTALLED) ## Python packages, the `edge` command and a working `pulumi`, all in .venv
	@$(BIN)/python -P -m engine.obtain.setup

$(INSTALLED): $(PINS)
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or newer with the venv module was found."; \
		echo "Install one (Debian: apt install python3 python3-venv), or run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; \
		exit 1; \
	fi >&2
	@[ -x $(BIN)/python ] || { echo "Creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing Python packages (about a minute; the first time 120 MB)"
	@$(PIP_INSTALL) --require-hashes --requirement requirements.lock \
		| awk '/^ *Downloading .* MB\)/ || /^ERROR/ { print; fflush() } \
			/^Installing collected/ { print "  Installing them"; fflush() }'
	@$(PIP_INSTALL) --quiet --no-build-isolation --no-deps --config-settings editable_mode=compat --editable .
	@# The lab is no part of the wheel, and so its command is none of the package's.
	@printf '#!%s\nfrom lab.cli import main\n\nmain()\n' "$$(realpath -s $(BIN)/python)" > $(BIN)/edge-lab; chmod +x $(BIN)/edge-lab
	@$(BIN)/python -m compileall -q -j 0 -x '$(NOT_COMPILED)' $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
	@touch $@

.PHONY: demo
demo: setup ## A whole site rehearsed through the real Pulumi engine: plan, policies, outputs, cost
	@$(BIN)/edge up demo --rehearse

.PHONY: test
test: setup emulators ## The whole test suite, runs of the real engine included
	@$(BIN)/pytest --ignore tests/lab $(PYTEST_FLAGS)

.PHONY: emulators
emulators: $(VENV)/aws/.installed ## The emulator of AWS that tests/clouds replays rehearsed resources against

$(VENV)/aws/.installed: tests/clouds/requirements.lock | setup
	@$(BIN)/python -m venv $(VENV)/aws
	@$(VENV)/aws/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-compile --timeout 120 \
		--retries 10 --require-hashes --requirement tests/clouds/requirements.lock
	@touch $@

.PHONY: mutants
mutants: setup ## Faults put into copies of the checkout, each of which a test must catch
	@$(BIN)/python -P -m tests.mutants

.PHONY: states
states: setup ## Renew the states of live sites that previews are tested on: make states COMMIT=v1.2.0
	@$(BIN)/python -P -m tests.state.renew $(COMMIT)

.PHONY: effects
effects: setup ## Rewrite what CHANGELOG.md says of this release's effects on live sites
	@$(BIN)/python -P -m tests.state.effects

.PHONY: lab-programs
lab-programs: setup ## What the lab's tests run, built where it is not in the cache (root, Linux; the first time minutes)
	@$(BIN)/python -P -m lab.programs

# `EDGE_PLUGINS=official make lab-test` is for a machine that has both official plugins on PATH.
.PHONY: lab-test
lab-test: setup ## The same program on real hosts on this machine, after `make lab-programs` (root, Linux)
	@$(BIN)/pytest tests/lab --ignore tests/lab/test_site_virtual_ip.py $(LAB_FLAGS)

.PHONY: lab-virtual-ip
lab-virtual-ip: setup ## Three real servers that hold the API's address by kube-vip, built from its Go module (root, Linux)
	@$(BIN)/pytest tests/lab/test_site_virtual_ip.py

.PHONY: lab-hour
lab-hour: setup ## A whole real site without its uplink for an hour (root, Linux; an hour and some minutes)
	@EDGE_LAB_UPLINK_LOSS_S=3600 $(BIN)/pytest tests/lab/test_uplink.py

.PHONY: check
check: setup ## Format, lint, types, import rules, rendered scripts, schema, workflows (which need Go)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@find tests/golden -name '*.sh' -print0 | xargs -0 --no-run-if-empty $(BIN)/shellcheck --shell=bash
	@$(BIN)/edge schema --check
	@$(BIN)/python -P -m tests.workflows.lint
	@$(BIN)/python -P -m stacks.reference --check || { echo '`make reference` writes them' >&2; exit 1; }

.PHONY: reference
reference: setup ## Rewrite docs/reference, docs/policies.md and docs/consequences.md from specs, rules and edits
	@$(BIN)/python -P -m stacks.reference
	@$(BIN)/python -P -m policies.reference
	@$(BIN)/python -P -m stacks.consequences_reference

.PHONY: format
format: setup ## Rewrite the code as `make check` wants it
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: bench
bench: setup ## A preview of prod against an empty program, and `edge check` over all sites
	@$(BIN)/python -m bench

.PHONY: bench-policies
bench-policies: setup ## What the policy pack costs: 100 resources, in a real preview and in process
	@$(BIN)/python -m bench.policies

.PHONY: bench-fleet
bench-fleet: setup ## `edge check` over 50 and 500 generated sites
	@$(BIN)/python -m bench.fleet

.PHONY: bench-side
bench-side: setup ## Ten sites at once through the real engine, ten times, each site in its own process
	@$(BIN)/python -m bench.side_by_side

.PHONY: bench-many
bench-many: setup ## Which of 500 sites a change touches, and 50 previews against `pulumi` stack after stack (some minutes)
	@$(BIN)/python -m bench.many

.PHONY: bench-recovery
bench-recovery: setup ## From a lost agent, server, first server to a site that is up, five times each (root, half an hour)
	@$(BIN)/python -m bench.recovery

.PHONY: bench-lab
bench-lab: setup ## Real hosts and a whole real site, against a shell script and Ansible (root, Linux)
	@$(BIN)/python -m bench.lab_hosts
	@$(BIN)/python -m bench.lab_site

.PHONY: pins
pins: ## Renew constraints*.txt and requirements.lock, here and in tests/clouds, after a change of a requirements*.txt
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; $(PYTHON) -m venv "$$fresh"; \
	freeze() { "$$fresh/bin/python" -m pip freeze --all --exclude pip --exclude wheel; }; \
	grep -hv '^--constraint' requirements.txt > "$$fresh/wanted.txt"; \
	"$$fresh/bin/python" -m pip install --no-compile --requirement "$$fresh/wanted.txt"; \
	freeze > "$$fresh/run.txt"; \
	{ echo '# Generated by `make pins`: requirements.txt and everything that it brings with it, so that a build of tomorrow takes the'; \
	  echo '# same versions as the build of today. A wheel of this program requires exactly these.'; \
	  cat "$$fresh/run.txt"; } > constraints.txt; \
	grep -hv '^--constraint' requirements-dev.txt > "$$fresh/wanted.txt"; \
	"$$fresh/bin/python" -m pip install --no-compile --constraint constraints.txt --requirement "$$fresh/wanted.txt"; \
	{ echo '# Generated by `make pins`: what requirements-dev.txt brings with it on top of constraints.txt.'; \
	  freeze | grep -vxFf "$$fresh/run.txt"; } > constraints-dev.txt; \
	"$$fresh/bin/python" -m pip install --quiet uv; \
	cat constraints.txt constraints-dev.txt > "$$fresh/all.txt"; \
	locked() { "$$fresh/bin/uv" pip compile --quiet --no-deps --no-header --no-annotate --generate-hashes "$$1"; }; \
	{ echo '# Generated by `make pins`: all constraints with the SHA-256 of every file of each release. `make setup` installs from this.'; \
	  locked "$$fresh/all.txt"; } > requirements.lock; \
	{ echo '# Generated by `make pins`: requirements.txt with the SHA-256 of every file of each release.'; \
	  locked tests/clouds/requirements.txt; } > tests/clouds/requirements.lock

.PHONY: clean
clean: ## Remove .venv, rehearsals and caches; production state in .edge/state stays
	@rm -rf $(VENV) .edge/rehearsal .edge/workspaces .edge/home build *.egg-info \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
