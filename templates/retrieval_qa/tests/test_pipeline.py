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
    assert [step["step"] for step in found["steps"]][:2] == ["search", "answer"]


def test_no_case_is_in_two_splits() -> None:
    inputs = [json.dumps(case["inputs"], sort_keys=True) for split in SPLITS for case in cases(split)]
    assert len(inputs) == len(set(inputs))


def test_the_search_finds_the_page_that_a_question_names() -> None:
    search = runpy.run_path(str(HERE / "pipeline.py"))["search"]
    assert search("Who leads the Ghent office?", k=1)[0].startswith("Ghent office: ")


def test_the_page_of_each_case_holds_its_answer() -> None:
    pages = runpy.run_path(str(HERE / "pipeline.py"))["PAGES"]
    texts = {page["title"]: page["text"] for page in pages}
    for case in cases("train"):
        assert case["expected"]["answer"] in texts[case["metadata"]["titles"][0]]
