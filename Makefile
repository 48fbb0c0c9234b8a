# Every target makes .venv and installs what it needs; the second time it only looks at the stamps.
# Another interpreter: `make PYTHON=python3.12 test`. Another place for the environment: `make VENV=/somewhere test`.

VENV ?= .venv
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
FAST := not slow and not gpu and not benchmark_ratio
# A process per core; who is done first takes over half of what another has left.
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
RUN := runs/image/latest

.DEFAULT_GOAL := help
.PHONY: help demo test test-all bench faults lint types docs

help:
	@echo "make demo      train on real digits, sample, evaluate (minutes on 2 cores)"
	@echo "make test      the fast tests, in one process per core; WORKERS=0: all in one"
	@echo "make test-all  every test but the ratios of times"
	@echo "make bench     ratios of times against plain PyTorch and peers; run it on a quiet machine"
	@echo "make faults    plant 50 faults in the mathematics, one by one, and see the tests notice (a quarter of an hour)"
	@echo "make lint      ruff (rules and format), then types"
	@echo "make types     mypy on the installed package"
	@echo "make docs      build the documentation into site/"

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# One stamp for each set of extras: .installed-image, .installed-dev, .installed-docs.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "installing ornstein[$*] into $(VENV); PyTorch is large, so the first time takes minutes"
	$(INSTALL) -e '.[$*]'
	@touch $@

demo: $(VENV)/.installed-image
	$(BIN)/ornstein fit image/digits
	$(BIN)/ornstein sample $(RUN) -n 10 --cond label=all
	$(BIN)/ornstein evaluate $(RUN)
	@echo "pictures: $(RUN)/samples/grid.png, ten of each class in order"
	@echo "report:   $(RUN)/evaluation/report.html"

test: $(VENV)/.installed-dev
	$(PYTEST) -m "$(FAST)"

test-all: $(VENV)/.installed-dev
	$(PYTEST) -m "not benchmark_ratio"

bench: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m benchmark_ratio -s tests/benchmarks

faults: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory types

# The folders become `ornstein.*` only by installation, so mypy looks at an installed copy. A left-over build/ would carry deleted files into it.
types: $(VENV)/.installed-dev
	@rm -rf build $(VENV)/wheel
	$(INSTALL) --no-deps --target $(VENV)/wheel .
	@rm -rf build
	cd $(VENV)/wheel && "$(abspath $(BIN))/mypy" -p ornstein.core -p ornstein.modalities \
		--config-file "$(CURDIR)/pyproject.toml" --cache-dir "$(CURDIR)/.mypy_cache"

docs: $(VENV)/.installed-dev $(VENV)/.installed-docs
	$(BIN)/mkdocs build --strict
