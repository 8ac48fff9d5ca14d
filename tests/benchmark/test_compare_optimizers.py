"""`fapo benchmark compare`: the same calls for each, trials aggregated, test compared case by case."""

from __future__ import annotations

from pathlib import Path

import pytest

from fapo.records import Usage
from fapo.report.versus import Trial, compare, markdown
from tests.support.command import fapo


def trial(optimizer: str, number: int, *values: float) -> Trial:
    test = {f"c{i}": value for i, value in enumerate(values)}
    paid = Usage(10, 5, 100, 10, 0.5)
    return Trial(optimizer, number, "improved", "prompt", 0.2, 0.6, test, 3, 400, paid, Usage(), paid, 60.0, "run")


def test_means_spread_and_paired_differences() -> None:
    trials = {
        "fapo": [trial("fapo", 0, 1, 1, 1, 0), trial("fapo", 1, 1, 1, 0, 0)],
        "gepa": [trial("gepa", 0, 1, 0, 0, 0), trial("gepa", 1, 1, 0, 0, 0)],
    }
    baseline = {"c0": 0.0, "c1": 0.0, "c2": 0.0, "c3": 1.0}
    report = compare("b", "p", baseline, trials, note=None, published=(), clusters=None)
    ours, theirs = report.summaries
    assert (ours.test, theirs.test, report.baseline_test) == (0.625, 0.25, 0.25)
    assert ours.spread == pytest.approx(0.1768, abs=1e-4)
    assert theirs.spread == 0.0
    assert ours.task == Usage(20, 10, 200, 20, 1.0)
    pairs = {(pair.first, pair.second): pair.difference for pair in report.versus}
    assert set(pairs) == {("fapo", "gepa"), ("fapo", "baseline"), ("gepa", "baseline")}
    assert pairs["fapo", "gepa"].difference == pytest.approx(0.375)
    assert (pairs["fapo", "gepa"].won, pairs["fapo", "gepa"].lost) == (2, 0)
    text = "\n".join(markdown(report))
    assert "| fapo | 2 | 62.5 | 17.7 | 60.0 | 400 | 1.00 | 0.00 | 1.00 | 1.0 |" in text
    assert "| fapo against gepa | +37.5 |" in text


def test_two_optimizers_on_one_pipeline(tmp_path: Path) -> None:
    options = ("--pipeline", "quickstart", "--optimizers", "fapo-prompt,gepa", "--trials", "1",
               "--budget-calls", "300", "--max-variants", "2")  # fmt: skip
    done = fapo(tmp_path, "benchmark", "compare", "quickstart", *options, "--json")
    assert done.code == 0, done.err
    names = [summary["optimizer"] for summary in done.json["summaries"]]
    assert names == ["fapo-prompt", "gepa"]
    assert all(summary["searched"] > 0 for summary in done.json["summaries"])
    assert "offline stand-in" in done.json["note"]
    folder = Path(done.json["directory"])
    assert "| fapo-prompt against gepa |" in (folder / "comparison.md").read_text()
    again = fapo(tmp_path, "benchmark", "compare", "quickstart", *options, "--resume", folder, "--json")
    assert again.json == done.json
    assert "fapo optimize" not in again.err, "nothing is run again"


def test_an_unknown_optimizer_is_refused(tmp_path: Path) -> None:
    refused = fapo(tmp_path, "benchmark", "compare", "cve_cwe", "--optimizers", "fapo,magic")
    assert refused.code == 2
    assert "`magic` is none of fapo, fapo-prompt, gepa" in " ".join(refused.err.split())
