# Wraps the commands of the README for those who prefer short ones.
PYTHON = .venv/bin/python

.PHONY: install test slow check format benchmark
install:
	python3 -m venv .venv && .venv/bin/pip install -q -e ".[test]"
test:
	$(PYTHON) -m pytest -q
slow:
	$(PYTHON) -m pytest -q -m slow
check:
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy
format:
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .
benchmark:
	$(PYTHON) scripts/benchmark.py
	$(PYTHON) scripts/benchmark_search.py
