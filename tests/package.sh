#!/usr/bin/env bash
# Installs the wheel of a folder into a new environment and runs it away from the checkout: what comes along is found.
set -euo pipefail
wheel=$(realpath "$1"/fapo-*.whl)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "$wheel"
env/bin/pip check
mkdir away && cd away
export PATH="$place/env/bin:$PATH" FAPO_RUNS_DIR="$place/runs" FAPO_CACHE_DIR="$place/cache"
fapo --version
fapo benchmark list
fapo eval quickstart --limit 5 --json > quickstart.json
fapo eval hotpotqa --limit 3 --json > hotpotqa.json
fapo report "$(python -c 'import json; print(json.load(open("quickstart.json"))["evaluation_dir"])')"
python - <<'PYTHON'
import importlib.resources, json

assert importlib.resources.files("fapo").joinpath("py.typed").is_file()
for name, cases in (("quickstart", 5), ("hotpotqa", 3)):
    figures = json.load(open(f"{name}.json"))
    assert 0 <= figures["score"]["mean"] <= 1, figures
print("the wheel runs by itself")
PYTHON
