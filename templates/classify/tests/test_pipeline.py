"""The pipeline runs and its data is sound: `pytest` in this folder. No key is needed: a stand-in answers."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

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
    assert [step["step"] for step in found["steps"]][:2] == ["classify", "team_of"]


def test_no_case_is_in_two_splits() -> None:
    inputs = [json.dumps(case["inputs"], sort_keys=True) for split in SPLITS for case in cases(split)]
    assert len(inputs) == len(set(inputs))


def test_one_team_is_read_from_a_reply_and_not_two() -> None:
    team_of = runpy.run_path(str(HERE / "pipeline.py"))["team_of"]
    assert team_of("This looks like Billing.") == "billing"
    assert team_of("Billing, or shipping.") == "Billing, or shipping."


def test_every_label_is_a_team() -> None:
    teams = runpy.run_path(str(HERE / "pipeline.py"))["TEAMS"]
    assert {case["expected"]["team"] for split in SPLITS for case in cases(split)} == set(teams)
