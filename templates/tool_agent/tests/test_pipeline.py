"""The pipeline runs and its data is sound: `pytest` in this folder. No key is needed: a stand-in answers."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent.parent
SPLITS = ("train", "validation", "test")


def cases(split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / "data" / f"{split}.jsonl").read_text().splitlines()]


def test_it_runs_from_end_to_end(tmp_path: Path) -> None:
    options = ["--split", "train", "--limit", "6", "--model", "standin/reader", "--json"]
    command = [sys.executable, "-m", "fapo.cli", "eval", str(HERE), *options]
    environment = {**os.environ, "FAPO_RUNS_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["failures"], found["undecided"], found["score"]["n"]) == (0, 0, 6)
    assert [step["step"] for step in found["steps"]][:2] == ["agent", "find_order"]


def test_no_case_is_in_two_splits() -> None:
    inputs = [json.dumps(case["inputs"], sort_keys=True) for split in SPLITS for case in cases(split)]
    assert len(inputs) == len(set(inputs))


def test_a_tool_says_what_it_does_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of nobody")
    found = runpy.run_path(str(HERE / "pipeline.py"))
    assert set(found["TOOLS"]) == {tool["function"]["name"] for tool in found["DESCRIBED"]}
    assert "error" in found["find_order"]("K-0")
    order = next(iter(found["ORDERS"].values()))
    assert found["find_customer"](order["customer"])["name"] == order["customer"]
