# Two commands do all the set-up on a fresh machine: `make demo` and `make test`. `make` alone lists the others.
#
#   VENV=.venv  PYTHON=python3      the environment, and what it is made with
#   PYTEST_ARGS='-k queue -x'       more arguments for pytest
#   JOBS=3                          tests at once; 0: one after the other in one process, as a debugger wants it
#   NETFS=auto|1|0                  tests on network filesystems: where they can run, in any case (or fail), never
#   SLURM=auto|1|0                  tests on a Slurm of their own: the same; GRIDENGINE=auto|1|0: likewise
#   MINUTES=20  SEED=                how long `make chaos` sends signals; the choices of an earlier run again
#   MATRIX='--core lowest trixie'    what `make matrix` runs: fewer tests, other Debians, --slurm or --netfs trixie
#   DRAFT=1                          `make release` of a version that the changelog calls unreleased
#   LAB=auto|1|0                    tests and checks of the JupyterLab side (Node, Chromium): the same

SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3
PYTEST_ARGS ?=
JOBS ?= 3
NETFS ?= auto
SLURM ?= auto
GRIDENGINE ?= auto
LAB ?= auto
MINUTES ?= 20
MATRIX ?=
SEED ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Programs that come as wheels (mpiexec, desipipe itself) are found as in an activated environment.
export PATH := $(abspath $(BIN)):$(PATH)

NFS_PACKAGES := user-mode-linux nfs-kernel-server nfs-common kmod iproute2

.DEFAULT_GOAL := help
.PHONY: help demo test test-nfs chaos matrix install-tests check format bench docs lab labextension wheel release clean
# A recipe that fails half-way must not leave a stamp that looks new.
.DELETE_ON_ERROR:

# Shell text: install those Debian packages of $(1) that are missing, where that is possible; $$missing holds those that still are.
define install_packages
missing=$$(tests/install_packages.sh $(1))
endef

# Shell text: look for Node, install it where that is possible; $$why is empty, or says why there is none.
define find_node
why=''; new_enough='process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)'; \
if ! node -e "$$new_enough" 2>/dev/null; then \
	$(call install_packages,nodejs npm); \
	node -e "$$new_enough" 2>/dev/null || why='Node 20 or later is not there, and could not be installed with apt-get'; \
fi
endef

# Shell text: the same for what `check` and `test` do of the JupyterLab side, which LAB leaves out or demands.
define find_node_for
$(call find_node); \
if [ '$(LAB)' = 0 ]; then why='LAB=0 was asked for'; fi; \
if [ -n "$$why" ]; then \
	printf '%s\n' '' '!!! LEFT OUT: $(1)' "!!! $$why" '' >&2; \
	if [ '$(LAB)' = 1 ]; then echo '!!! LAB=1 asks for them in any case.' >&2; exit 1; fi; \
fi
endef

# jlpm (yarn) does not know npm's configuration: which registry is to be asked.
JLPM = YARN_NPM_REGISTRY_SERVER="$${YARN_NPM_REGISTRY_SERVER:-$$(npm config get registry 2>/dev/null)}" $(BIN)/jlpm
FRONT_END := jupyter_ext/labextension
FRONT_END_SOURCES := package.json jupyter_ext/rspack.config.js jupyter_ext/build_page.js jupyter_ext/page.html jupyter_ext/tsconfig.json $(shell find jupyter_ext/src jupyter_ext/style jupyter_ext/schema -type f -not -path '*/__tests__/*')

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The environment is made once; what is in it is brought up to date when pyproject.toml changed, and only then.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'desipipe needs Python 3.11 or later; nothing was installed. Try: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call install_packages,python3-venv); $(PYTHON) -c 'import ensurepip, venv'; } || \
		{ echo 'This Python cannot make environments; nothing was installed. On Debian: apt-get install python3-venv; or: make PYTHON=... with another one.' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	$(PIP) install -q -e .
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(VENV)/.made
	$(PIP) install -q -e '.[$*]'
	@touch $@

# These need Node, and an environment with jlpm: `labextension`, `test` and `check` see to both.
node_modules/.installed: package.json yarn.lock .yarnrc.yml
	@log=$$(mktemp); $(JLPM) install --immutable >"$$log" 2>&1 || { cat "$$log"; rm -f "$$log"; exit 1; }; rm -f "$$log"
	@touch $@

$(FRONT_END)/package.json: node_modules/.installed $(FRONT_END_SOURCES)
	$(JLPM) build:prod
	@touch $@

demo: $(VENV)/.installed  ## a real pipeline on local workers; makes the environment first
	@$(BIN)/desipipe demo

test: $(VENV)/.installed-test  ## all tests; as root, also installs what they need: network filesystems, a browser
	@PYTHON='$(BIN)/python' JLPM='$(BIN)/jlpm' JOBS='$(JOBS)' NETFS='$(NETFS)' SLURM='$(SLURM)' GRIDENGINE='$(GRIDENGINE)' LAB='$(LAB)' tests/run.sh $(PYTEST_ARGS)

test-nfs: $(VENV)/.installed-test  ## tests on real NFS, between user-mode-Linux guests; root only
	@[ "$$(id -u)" = 0 ] || { echo 'Real NFS between guests needs root; no test was run. Try: sudo make test-nfs' >&2; exit 1; }
	@$(call install_packages,$(NFS_PACKAGES)); \
	[ -z "$$missing" ] || { echo "These Debian packages are missing and could not be installed; no test was run: $$missing" >&2; exit 1; }
	DESIPIPE_TESTS_COMPLETE=1 DESIPIPE_REQUIRE_NETFS=1 $(BIN)/python -m pytest -m nfs $(PYTEST_ARGS)

chaos: $(VENV)/.installed-test  ## kill and stop processes at random under load, and check the journal; MINUTES=20 SEED=
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

matrix:  ## tests with the oldest dependencies, without cgroups, on Debian trixie (Python 3.13); root only
	@PYTHON=$(PYTHON) JOBS=$(JOBS) VENV=$(VENV) tests/matrix/run.sh $(MATRIX)

install-tests:  ## install the wheel with pip, pipx, uv, read-only, and run the demo with each
	@PYTHON=$(PYTHON) tests/matrix/install.sh

check: $(VENV)/.installed-lint  ## ruff, its formatter, mypy, sizes, names, messages, dead code; of the JupyterLab side: tsc, eslint, prettier, stylelint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python jupyter_ext/view_types.py --check
	$(BIN)/python -m tests.standards
	@found=$$($(BIN)/vulture) || [ $$? = 3 ] || exit 1; \
	! printf '%s\n' "$$found" | grep '^desipipe/' || { echo 'Unused, or to be listed in pyproject.toml with the reason.' >&2; exit 1; }
	@$(call find_node_for,the checks of the JupyterLab side); \
	[ -n "$$why" ] || { $(MAKE) --no-print-directory node_modules/.installed && $(JLPM) check; }

format: $(VENV)/.installed-lint  ## let ruff, and where it is installed prettier, correct what they can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@[ ! -e node_modules/.installed ] || $(JLPM) format

bench: $(VENV)/.installed-bench  ## desipipe beside its peers; prints the table, writes bench.json
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-docs  ## the documentation, in docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

lab: labextension  ## JupyterLab with desipipe; builds its JupyterLab side first
	$(BIN)/jupyter lab

labextension: $(VENV)/.installed-notebook  ## build the JupyterLab side into the environment; needs Node
	@$(call find_node); [ -z "$$why" ] || { echo "The JupyterLab side was not built: $$why." >&2; exit 1; }
	@$(MAKE) --no-print-directory $(FRONT_END)/package.json
	@mkdir -p $(VENV)/share/jupyter/labextensions
	ln -sfn $(abspath $(FRONT_END)) $(VENV)/share/jupyter/labextensions/desipipe-lab

wheel: $(VENV)/.made  ## what users install, in dist, with the JupyterLab side built; needs Node
	@$(call find_node); [ -z "$$why" ] || { echo "No wheel was built: $$why." >&2; exit 1; }
	$(PIP) wheel -q --no-deps -w dist .

release: $(VENV)/.installed-test  ## wheel, source archive and checksums in dist, built twice; needs Node
	@$(call find_node); [ -z "$$why" ] || { echo "Nothing was built: $$why." >&2; exit 1; }
	@release/build.sh $(BIN)/python

clean:  ## remove all that these commands made, the environment too
	rm -rf $(VENV) .matrix dist build docs/_build node_modules .yarn jupyter_ext/lib $(FRONT_END) desipipe/server/page bench.json .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
