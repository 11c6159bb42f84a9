# Every target works as the first command on a fresh clone that has Python 3.11 (or 3.12) and make: it installs what it needs.
# Settings: PYTHON=/path/to/python3.11, PYTEST_ARGS="-k gram"; UV_CACHE_DIR and uv's other variables, PIP_INDEX_URL and PIP_CERT are honoured.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-brainscore test-current lint bench docs clean constraints

SUPPORTED := import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
PYTHON ?= $(shell for name in python3.11 python3.12 python3; do \
	$$name -c '$(SUPPORTED)' 2>/dev/null && { command -v $$name; break; }; done)

export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
export SSL_CERT_FILE ?= $(PIP_CERT)
export UV_HTTP_TIMEOUT ?= 300
$(foreach name,UV_DEFAULT_INDEX SSL_CERT_FILE,$(if $($(name)),,$(eval unexport $(name))))

BIN := .venv/bin
READY := .venv/ready
READY_CURRENT := .venv-current/ready
PYTEST_ARGS ?=

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo: $(READY)  ## score an untrained resnet18 on the bundled simulated stream and write demo-report.html
	$(BIN)/ventral score torchvision/resnet18 --seed 0 --report demo-report.html
	@echo "The report is $(CURDIR)/demo-report.html; open it in a browser."

# Both environments at once, a core each; the second one's output follows the first's. Threads of theirs that wait must not
# spin on the core of the other: it doubles the time of tests that run networks.
test: export OMP_WAIT_POLICY = passive
test: lint docs $(READY_CURRENT)  ## lint and documentation, then all tests with Brain-Score and with today's libraries
	@log=.venv-current/test.log; status=0; \
	$(MAKE) --no-print-directory test-current > $$log 2>&1 & current=$$!; \
	$(MAKE) --no-print-directory test-brainscore || status=$$?; \
	wait $$current || status=$$?; cat $$log; exit $$status

test-brainscore: $(READY)  ## the tests in .venv, where Brain-Score is installed, but for what test-current runs once
	$(BIN)/python -m pytest -m "not performance and not once" $(PYTEST_ARGS)

test-current: $(READY_CURRENT)  ## the tests in .venv-current, on today's numpy, pandas, xarray and scikit-learn
	.venv-current/bin/python -m pytest -m "not performance and not brainscore" $(PYTEST_ARGS)

lint: $(READY)  ## ruff, mypy and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## measure against Brain-Score's own pipeline and write docs/performance.md
	$(BIN)/python -m pytest -m performance $(PYTEST_ARGS) tests/performance

docs: $(READY)  ## build the documentation in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:  ## remove the environments, reports, caches and builds
	rm -rf .venv .venv-current site build dist *.egg-info demo-report.html .coverage \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

constraints: $(READY)  ## resolve the newest versions that setup.cfg allows, and pin them
	for file in constraints.txt constraints-current.txt; do \
		extras=$$([ $$file = constraints.txt ] && echo "--extra all" || echo "--extra dev"); \
		{ grep '^#' $$file; $(BIN)/uv pip compile -q --no-header --no-annotate --upgrade --python $(BIN)/python $$extras setup.cfg; } \
			> $$file.new; \
		mv $$file.new $$file; \
	done

# Libraries are compiled at once: where Python may not write (containers set PYTHONDONTWRITEBYTECODE) every command would
# compile torch anew, five seconds each time.
# The file `ready` is written last. An environment without it was interrupted: it is made again from nothing.
$(READY): setup.cfg pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { \
		echo "make: expected Python 3.11 or 3.12 with its venv module, got $(or $(PYTHON),none on PATH);" \
			"install it (Debian: apt-get install python3.11-venv) or run make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "Installing Ventral and what it needs into .venv (several GB; minutes on a slow connection) ..."
	@[ -e $@ ] || "$(PYTHON)" -m venv --clear .venv
	@rm -f $@
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[all]'
	@touch $@

$(READY_CURRENT): $(READY) constraints-current.txt
	@echo "Installing Ventral with today's libraries into .venv-current ..."
	@[ -e $@ ] || $(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-current
	@rm -f $@
	$(BIN)/uv pip install --quiet --compile-bytecode --python .venv-current/bin/python -c constraints-current.txt -e '.[dev]'
	@touch $@
