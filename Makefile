# Each target does its own set-up (tools/setup.sh) and says what it installs.
BIN := .venv/bin
MINUTES ?= 5
FUZZ_MINUTES ?= $(MINUTES)

.PHONY: help demo test lint bench crash fuzz outside lock setup-run setup-test

help:
	@echo 'make demo    the gateway between an agency and a partner on loopback: one message for each outcome'
	@echo 'make test    lint, types, import contracts and the whole test suite'
	@echo 'make lint    lint, types and import contracts alone'
	@echo 'make bench   the gateway and Postfix in turn on this machine, with ratios; inspection beside the email package'
	@echo 'make crash   fifty kills under load on SQLite and on PostgreSQL, nothing lost (about seven minutes)'
	@echo 'make fuzz    the fuzz tests for FUZZ_MINUTES=$(FUZZ_MINUTES) minutes'
	@echo 'make outside FOLDERS=...  inspection against independent programs, on files of other projects (tests/outside/README.md)'
	@echo 'make lock    requirements.lock anew from pyproject.toml'

setup-run:
	@tools/setup.sh run

setup-test:
	@tools/setup.sh test

demo: setup-run
	@$(BIN)/gateway demo --folder build/demo

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python tools/test.py

bench: setup-test
	$(BIN)/python bench/run.py
	$(BIN)/python bench/inspection.py

crash: setup-test
	CRASH_KILLS=50 $(BIN)/python -m pytest -s tests/crash/test_kill.py

fuzz: setup-test
	tools/fuzz.sh $(FUZZ_MINUTES)

outside: setup-test
	$(BIN)/python tests/outside/compare.py $(OUTSIDE_OPTIONS) $(FOLDERS)

lock: setup-run
	tools/lock.sh
