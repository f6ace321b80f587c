# Two commands do all the set-up on a fresh machine: `make demo` and `make test`. `make` alone lists the others.
#
#   VENV=.venv  PYTHON=python3      the environment, and what it is made with
#   PYTEST_ARGS='-k queue -x'       more arguments for pytest
#   NETFS=auto|1|0                  tests on network filesystems: where they can run, in any case (or fail), never

SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3
PYTEST_ARGS ?=
NETFS ?= auto
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Programs that come as wheels (mpiexec, desipipe itself) are found as in an activated environment.
export PATH := $(abspath $(BIN)):$(PATH)

NETFS_PACKAGES := moosefs-master moosefs-chunkserver moosefs-client iproute2 sshfs openssh-server fuse3
NFS_PACKAGES := user-mode-linux nfs-kernel-server nfs-common kmod iproute2

.DEFAULT_GOAL := help
.PHONY: help demo test test-nfs check format bench docs lab wheel clean
# A recipe that fails half-way must not leave a stamp that looks new.
.DELETE_ON_ERROR:

# Shell text: install those Debian packages of $(1) that are missing, where that is possible; $$missing holds those that still are.
define install_packages
missing=''; \
for name in $(1); do dpkg-query -W -f='$${Status}' "$$name" 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$name"; done; \
if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	echo "Installing with apt-get:$$missing"; \
	if apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; then missing=''; fi; \
fi
endef

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The environment is made once; what is in it is brought up to date when pyproject.toml changed, and only then.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'desipipe needs Python 3.11 or later; nothing was installed. Try: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call install_packages,python3-venv); $(PYTHON) -c 'import ensurepip, venv'; } || \
		{ echo 'This Python can not make environments; nothing was installed. On Debian: apt-get install python3-venv; or: make PYTHON=... with another one.' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	$(PIP) install -q -e .
	@touch $@

$(VENV)/.installed-%: pyproject.toml | $(VENV)/.made
	$(PIP) install -q -e '.[$*]'
	@touch $@

demo: $(VENV)/.installed  ## a real pipeline on local workers; makes the environment first
	@$(BIN)/desipipe demo

test: $(VENV)/.installed-test  ## all tests; as root, also installs the network filesystems they need
	@marks='not nfs and not netfs'; why=''; \
	if [ '$(NETFS)' = 0 ]; then why='NETFS=0 was asked for'; \
	elif [ "$$(id -u)" != 0 ]; then why='they mount filesystems in namespaces of their own, which needs root. Try: sudo make test'; \
	elif ! unshare --mount --net --uts true 2>/dev/null || [ ! -e /dev/fuse ]; then why='this root may not make namespaces, or has no /dev/fuse (a container?)'; \
	else \
		$(call install_packages,$(NETFS_PACKAGES)); \
		if [ -z "$$missing" ]; then marks='not nfs'; else why="these Debian packages are missing and could not be installed:$$missing"; fi; \
	fi; \
	if [ -n "$$why" ]; then \
		printf '%s\n' '' '!!! LEFT OUT: the tests on network filesystems (mark netfs), where two hosts share a queue:' "!!! $$why" '' >&2; \
		if [ '$(NETFS)' = 1 ]; then echo '!!! NETFS=1 asks for them in any case, so no test was run.' >&2; exit 1; fi; \
	fi; \
	DESIPIPE_TESTS_COMPLETE=1 DESIPIPE_REQUIRE_NETFS=1 $(BIN)/python -m pytest -m "$$marks" $(PYTEST_ARGS)

test-nfs: $(VENV)/.installed-test  ## tests on real NFS, between user-mode-Linux guests; root only
	@[ "$$(id -u)" = 0 ] || { echo 'Real NFS between guests needs root; no test was run. Try: sudo make test-nfs' >&2; exit 1; }
	@$(call install_packages,$(NFS_PACKAGES)); \
	[ -z "$$missing" ] || { echo "These Debian packages are missing and could not be installed; no test was run:$$missing" >&2; exit 1; }
	DESIPIPE_TESTS_COMPLETE=1 DESIPIPE_REQUIRE_NETFS=1 $(BIN)/python -m pytest -m nfs $(PYTEST_ARGS)

check: $(VENV)/.installed-lint  ## ruff, its formatter, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-lint  ## let ruff correct what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-bench  ## desipipe beside its peers; prints the table, writes bench.json
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-docs  ## the documentation, in docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

lab: $(VENV)/.installed-notebook  ## JupyterLab with desipipe
	$(BIN)/jupyter lab

wheel: $(VENV)/.made  ## what users install, in dist
	$(PIP) wheel -q --no-deps -w dist .

clean:  ## remove all that these commands made, the environment too
	rm -rf $(VENV) dist build docs/_build bench.json .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
