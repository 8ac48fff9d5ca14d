"""GEPA drives a run: its candidates are variants, their verdicts go by the mean, and the run is like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import builtin, fapo, optimize
from tests.support.scripted import PIPELINE


def test_a_search_by_gepa_ends_like_any_other(tmp_path: Path) -> None:
    result = optimize(tmp_path, PIPELINE, "--optimizer", "gepa", "--max-variants", "6")
    assert result["status"] == "improved"
    assert result["best"]["validation"] > result["baseline"]["validation"]
    assert {variant["technique"] for variant in result["variants"]} == {"reflection"}
    assert {variant["level"] for variant in result["variants"]} == {"prompt"}
    run = Path(result["run_dir"])
    changed = [path.name for path in (run / "variants" / result["best"]["variant"] / "prompts").iterdir()
               if path.read_bytes() != (run / "variants" / "000" / "prompts" / path.name).read_bytes()]  # fmt: skip
    assert changed
    assert "Optimizer: GEPA" in (run / "report.md").read_text()
    assert "GEPA, with standin/reflector" in (run / "report.html").read_text()
    before = (run / "journal.jsonl").read_bytes()
    again = fapo(tmp_path, "optimize", "--resume", run, "--json")
    assert again.json["best"] == result["best"]
    assert (run / "journal.jsonl").read_bytes() == before


def test_the_search_stays_within_its_calls(tmp_path: Path) -> None:
    result = optimize(tmp_path, builtin("pipelines", "quickstart"), "--optimizer", "gepa", "--search-calls", "400")
    events = [json.loads(line)["event"] for line in Path(result["run_dir"], "journal.jsonl").read_text().splitlines()]
    ended = next(event for event in events if event["event"] == "search_ended")
    assert ended["status"] == "calls"
    assert 400 <= result["searched"] <= 400 + 80, "at most one more look at validation, whole"


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_optimizer_of_fapo_obeys_the_same_bound(tmp_path: Path, seed: str) -> None:
    pipeline = builtin("pipelines", "quickstart")
    result = optimize(tmp_path, pipeline, "--search-calls", "400", "--seed", seed)
    assert 400 <= result["searched"] <= 400 + 2 * 80 + 40
    assert result["noise"] is None, "a second arm of the baseline would take more than a tenth of the calls"
