# Short names for the commands of CONTRIBUTING.md.
PYTHON = .venv/bin/python

.PHONY: install test slow check docs format benchmark
install:
	python3 -m venv .venv && .venv/bin/pip install -q -e ".[test]"
test:
	$(PYTHON) -m pytest -q
slow:
	$(PYTHON) -m pytest -q -m slow
check:
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports
docs:
	.venv/bin/mkdocs build
format:
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .
benchmark:
	$(PYTHON) scripts/benchmark.py
	$(PYTHON) scripts/benchmark_search.py
