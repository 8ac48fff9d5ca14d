# The two commands: `make demo` runs the main job, `make test` the tests. Both set up .venv first, and skip that when
# requirements.lock and pyproject.toml have not changed since.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin

.PHONY: demo test lint docs package lock

.venv/.ready: requirements.lock pyproject.toml
ifdef UV
	uv venv --quiet --allow-existing --python $(PYTHON) .venv
	uv pip install --quiet --python $(BIN)/python -r requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --editable .
else
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
endif
	touch $@

demo: .venv/.ready
	$(BIN)/fapo optimize cve_to_cwe --max-variants 8

test: .venv/.ready lint
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The sdist, the wheel made from it, and the wheel in an environment of its own, away from the checkout.
package: .venv/.ready
	rm -rf dist
	$(BIN)/python -m build --installer $(if $(UV),uv,pip) > /dev/null
	tests/package.sh dist

docs: .venv/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lock:
	uv pip compile --quiet --universal --python-version 3.11 --group dev --group docs --extra codex --extra frameworks --extra gepa --extra mlflow --extra otel --extra wandb --no-annotate --no-emit-index-url pyproject.toml -o requirements.lock
