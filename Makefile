# Every command of the project. Needs make and Python 3.11 or newer; installs the rest into .venv.
#
#   make test                       with the first Python found
#   make test PYTHON=python3.13     with another one
#   make demo ARGS=--no-browser     with arguments for the command behind it

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	"$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
VENV ?= .venv
ARGS ?=
BIN = $(VENV)/bin
READY = $(VENV)/.ready

# Where nothing compiled is kept, every process that a test starts compiles all its libraries anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL = help
.PHONY: help env run demo test soak bench lint format lock shots sbom audit wheel FORCE

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

env: $(READY) ## make the environment in .venv, with everything for development

run: $(READY) ## start the service: http://127.0.0.1:4747
	$(BIN)/stepscope serve $(ARGS)

demo: $(READY) ## start the service with sample traces, then run a chain live
	$(BIN)/python -m examples.demo $(ARGS)

test: $(READY) ## what CI runs: the static checks, then every test in a bounded form
	$(BIN)/python -m tools.check test

soak: $(READY) ## every test with its full counts, and coverage: up to an hour
	$(BIN)/python -m tools.check soak

bench: $(READY) ## print the figures: spans a second, milliseconds a page
	$(BIN)/python -m tests.bench $(ARGS)

lint: $(READY) ## only the static checks
	$(BIN)/python -m tools.check lint

format: $(READY) ## put the code into shape and repair what can be repaired
	$(BIN)/python -m tools.check format

lock: $(READY) ## write the lock files anew, with the newest versions allowed
	$(BIN)/python -m tools.lock

shots: $(READY) ## take the pictures in the documentation anew; ARGS=--all: every page, in both themes, at three widths
	$(BIN)/python -m tools.shots $(ARGS)

sbom: $(READY) ## write what the service is made of into dist/, as CycloneDX
	$(BIN)/python -m tools.supply sbom

audit: $(READY) ## ask public databases for known holes in the dependencies
	$(BIN)/python -m tools.supply audit

wheel: $(READY) ## build both wheels and sdists into dist/
	$(BIN)/python -m build --outdir dist . && $(BIN)/python -m build --outdir dist sdk

# Made again when what it depends on changes, and when the front-end libraries are gone.
$(READY): requirements.lock pyproject.toml sdk/pyproject.toml web/package.json web/package-lock.json \
		web/build_hook.py $(if $(wildcard web/static/built/STAMP),,FORCE)
	@test -n "$(PYTHON)" || { echo "Stepscope needs Python 3.11 or newer with venv. Name one: make PYTHON=..." >&2; exit 1; }
	@echo "Making the environment in $(VENV), which takes a minute the first time ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable ./sdk --editable .
	@touch $@
