# Two commands do everything: `make report` (the main job) and `make test`. Both create .venv when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
REPORT_DIR ?= report

.PHONY: report test check bench clean help

help:
	@echo "make report   measure what can be measured here and write $(REPORT_DIR)/index.html"
	@echo "make test     run the tests"
	@echo "make check    ruff and the type checker"
	@echo "make bench    the benchmarks behind the numbers in commits and notes"

# A stamp newer than pyproject.toml makes a second call start at once.
$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

report: $(STAMP)
	$(BIN)/esr report --live --out $(REPORT_DIR)

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m pytest tests/benchmarks -o testpaths=tests/benchmarks -o python_files='bench_*.py' --benchmark-only

clean:
	rm -rf $(VENV) $(REPORT_DIR) .pytest_cache .mypy_cache .ruff_cache
