# `make demo` makes pictures and a contact sheet; `make test` passes all the tests. Both install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TYPESCRIPT := 7.0.2
TSC := $(VENV)/typescript-$(TYPESCRIPT)/node_modules/typescript/bin/tsc
NPM = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --cache $(VENV)/npm --fetch-retry-mintimeout 1000 \
  --fetch-retry-maxtimeout 5000 --loglevel error --no-audit --no-fund
CLIENTS := $(VENV)/clients
CLIENTS_NPM := ci
RUNWARE_OLD := 0.4.40 0.5.24
SOURCES := pyproject.toml README.md $(shell find pipeline schemas -type f -not -name '*.pyc')

# The versions that pip installs, here and (the second name: since pip 25.3) where it builds. No path: spaces divide names.
CONSTRAINTS := constraints.txt
export PIP_CONSTRAINT := $(CONSTRAINTS)
export PIP_BUILD_CONSTRAINT := $(CONSTRAINTS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test tests test-latest constraints check types clients wheel-check bench soak screenshots browser clean

demo: $(VENV)/installed
	$(BIN)/pipeline run manifests/demo.yaml

test: check tests

# One more than there are processors: many tests wait for a process or a socket.
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')

# The tests run against the built and installed package, not against this folder.
tests: $(VENV)/installed-dev clients browser
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --durations 10

# The same with the newest version of everything, in an environment of its own.
test-latest:
	rm -rf build/latest
	$(MAKE) --keep-going test VENV=build/latest CONSTRAINTS= TYPESCRIPT=latest \
	  CLIENTS_NPM="install @fal-ai/client@latest @runware/sdk-js@latest"

# Writes the newest versions for all Pythons and systems below the comment in constraints.txt.
constraints:
	$(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet --upgrade uv
	grep '^#' constraints.txt > build/constraints.txt
	echo hatchling | build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
	  --no-header --no-annotate pyproject.toml - >> build/constraints.txt
	mv build/constraints.txt constraints.txt

check: $(VENV)/installed-dev types
	$(BIN)/ruff check pipeline tests benchmarks manifests
	$(BIN)/ruff format --check pipeline tests benchmarks manifests
	$(BIN)/mypy

# The types of the sheet's script, as its comments tell them. Node comes with the Python packages, the compiler from npm;
# where npm can't be reached this is skipped, and fails in CI.
types: $(VENV)/installed-dev
	@test -e $(TSC) || $(NPM) install --no-save --prefix $(VENV)/typescript-$(TYPESCRIPT) typescript@$(TYPESCRIPT) > /dev/null || \
	  { [ -z "$$CI" ] && echo "no TypeScript from npm: the types of the sheet's script are not checked"; }
	test ! -e $(TSC) || $(BIN)/node $(TSC) -p pipeline/report/script/jsconfig.json

# The vendors' clients that the tests run and pip can't install beside the others: JavaScript ones from npm, at the versions
# of tests/clients/package-lock.json, and the package `runware`, whose module has the name of runware-sdk's. Where they
# can't be reached their tests are skipped, and fail in CI.
clients: $(VENV)/installed-dev
	@mkdir -p $(CLIENTS)
	@cmp -s tests/clients/package-lock.json $(CLIENTS)/package-lock.json || { cp tests/clients/package*.json $(CLIENTS) && \
	  $(NPM) $(CLIENTS_NPM) --prefix $(CLIENTS) --omit optional --ignore-scripts > /dev/null; } || \
	  { rm -f $(CLIENTS)/package-lock.json; [ -z "$$CI" ] && echo "no JavaScript clients from npm: their tests are skipped"; }
	@for version in $(RUNWARE_OLD); do \
	  test -e $(CLIENTS)/runware-$$version || \
	  $(BIN)/pip install --quiet --no-deps --target $(CLIENTS)/runware-$$version runware==$$version || \
	  { [ -z "$$CI" ] && echo "no runware $$version: its tests are skipped"; } || exit 1; \
	done

# A wheel in an empty environment and an empty folder: everything it needs is inside.
wheel-check: $(VENV)/installed-dev
	rm -rf build/wheel && mkdir -p build/wheel/empty
	$(BIN)/python -m build --wheel --outdir build/wheel . > build/wheel/log || (cat build/wheel/log; exit 1)
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/pip install --quiet build/wheel/*.whl
	cd build/wheel/empty && ../venv/bin/pipeline init demo && ../venv/bin/pipeline run demo/campaign.yaml
	cd build/wheel/empty && ../venv/bin/pipeline run demo/campaign.yaml 2>&1 | grep "nothing to do"

bench: $(VENV)/installed-dev browser
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# Thousands of kills, write faults, storms, lost answers, damaged files and hostile input; prints one table.
# SOAK="--scale 0.05" is a short one, SOAK="--only kills --seed 7" one campaign again.
soak: $(VENV)/installed-dev
	@$(call debian,strace) || { echo "the soak injects write faults with strace: install Debian's package strace"; exit 1; }
	PYTHONPATH="$(CURDIR):$(CURDIR)/tests" $(BIN)/python -m soak $(SOAK)

# The sheet's main views in three sizes, dark and light and printed, in build/screenshots, to be looked at.
screenshots: $(VENV)/installed-dev browser
	PYTHONPATH="$(CURDIR):$(CURDIR)/tests" $(BIN)/python tests/browser/screenshots.py

# A program, if need be from Debian's package of its name (or of the second name), where we may install it.
debian = command -v $(1) > /dev/null || \
  { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && apt-get update -qq && apt-get install -y -qq $(or $(2),$(1)); }

# Chromium and Firefox for the browser tests, ImageMagick as a second opinion on pictures; without one its tests are
# skipped here, and fail in CI.
browser:
	@for program in chromium chromium-headless-shell firefox-esr; do \
	  $(call debian,$$program) || \
	  echo "no $$program: its browser tests will be skipped (install Debian's package $$program)"; \
	done
	@$(call debian,identify,imagemagick) || \
	  echo "no ImageMagick: the tests that look at pictures with it will be skipped (install Debian's package imagemagick)"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "install Debian's package python3-venv first"; exit 1; }

$(VENV)/installed: $(VENV)/bin/python $(SOURCES) $(CONSTRAINTS)
	$(BIN)/pip install --quiet .
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python $(SOURCES) $(CONSTRAINTS)
	$(BIN)/pip install --quiet '.[dev]'
	@touch $(VENV)/installed $@

clean:
	rm -rf $(VENV) build dist manifests/out manifests/*/out
