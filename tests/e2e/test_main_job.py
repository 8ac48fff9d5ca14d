"""`fapo optimize`, whole: the real CLI and LiteLLM on the stand-ins. These runs keep the demonstration honest."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fapo.data import find_builtin
from fapo.records import SPLITS
from tests.support.command import Done, fapo

CONTROLS = Path(__file__).parent.parent / "pipelines"


def builtin(kind: Any, name: str) -> Path:
    path = find_builtin(kind, name)
    assert path is not None
    return path


def optimize(folder: Path, pipeline: Path | str, *options: str) -> dict[str, Any]:
    done: Done = fapo(folder, "optimize", pipeline, "--json", *options)
    assert done.code == 0, done.err
    return done.json


def verdicts(result: dict[str, Any], level: str) -> list[str]:
    return [variant["verdict"] for variant in result["variants"] if variant["level"] == level]


@pytest.fixture(scope="module")
def cve(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("cve")
    return folder, optimize(folder, "cve_to_cwe")


@pytest.mark.xdist_group("cve")
class TestRealData:
    def test_the_test_gain_is_large_and_significant(self, cve: tuple[Path, dict[str, Any]]) -> None:
        _, result = cve
        assert result["status"] == "improved"
        assert result["test_gain"]["mean"] > 0.08
        assert result["test_gain"]["p"] < 0.001
        assert result["test_gain"]["ci95"][0] > 0
        assert result["baseline"]["test"] > 0.08

    def test_prompts_were_tried_before_structure_opened(self, cve: tuple[Path, dict[str, Any]]) -> None:
        _, result = cve
        levels = [variant["level"] for variant in result["variants"]]
        assert levels[0] == "prompt"
        assert "structure" in levels
        first = levels.index("structure")
        tried = [variant["verdict"] for variant in result["variants"][:first] if variant["level"] == "prompt"]
        assert "accepted" in tried or len(tried) >= 3
        assert result["best"]["level"] == "structure"

    def test_the_optimizer_can_be_wrong(self, cve: tuple[Path, dict[str, Any]]) -> None:
        _, result = cve
        assert "rejected" in [variant["verdict"] for variant in result["variants"]]
        assert all(variant["reason"] for variant in result["variants"])

    def test_every_output_says_that_a_stand_in_answered(self, cve: tuple[Path, dict[str, Any]]) -> None:
        _, result = cve
        assert "not a language model" in result["note"]
        assert "not a language model" in Path(result["report"]).read_text()
        assert result["usage"]["optimizer"]["cost_usd"] == 0.0

    def test_the_patch_turns_the_baseline_into_the_best_variant(
        self, cve: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        _, result = cve
        copy = tmp_path / "copy"
        shutil.copytree(builtin("pipelines", "cve_to_cwe"), copy)
        subprocess.run(["git", "init", "-q", str(copy)], check=True)
        subprocess.run(["git", "apply", result["patch"]], cwd=copy, check=True)
        best = Path(result["best_dir"])
        for path in best.rglob("*"):
            if path.is_file():
                assert (copy / path.relative_to(best)).read_bytes() == path.read_bytes()

    def test_nothing_held_out_is_in_the_workspace(self, cve: tuple[Path, dict[str, Any]]) -> None:
        _, result = cve
        data = builtin("benchmarks", "cve_cwe") / "data"
        rows = {
            name: [json.loads(line) for line in (data / f"{name}.jsonl").read_text().splitlines()] for name in SPLITS
        }
        held, train = [*rows["validation"], *rows["test"]], rows["train"]
        workspace = Path(result["run_dir"]) / "workspace"
        texts = {path: path.read_text(errors="replace") for path in workspace.rglob("*") if path.is_file()}
        for case in held:
            quoted = json.dumps(case["inputs"]["description"])[1:-1]
            found = [p for p, text in texts.items() if case["inputs"]["description"] in text or quoted in text]
            assert not found, case["id"]
            assert not [path for path in texts if path.stem == case["id"]]
        everything = "".join(texts.values())
        assert all(case["id"] in everything for case in train), "the search itself must find what is there"

    def test_the_journal_holds_one_look_at_test(self, cve: tuple[Path, dict[str, Any]]) -> None:
        _, result = cve
        lines = (Path(result["run_dir"]) / "journal.jsonl").read_text().splitlines()
        events = [json.loads(line)["event"]["event"] for line in lines]
        assert events.count("opened_test") == 1
        assert events.index("opened_test") > events.index("search_ended")

    def test_a_second_run_without_the_first_ones_cache_finds_the_same(
        self, cve: tuple[Path, dict[str, Any]], tmp_path: Path
    ) -> None:
        _, first = cve
        second = optimize(tmp_path, "cve_to_cwe")
        for key in ("baseline", "best", "test_gain", "validation_gain"):
            assert second[key] == first[key]


def test_with_shuffled_labels_nothing_is_gained_on_test(tmp_path: Path) -> None:
    source = builtin("benchmarks", "cve_cwe")
    pipeline = tmp_path / "shuffled"
    shutil.copytree(builtin("pipelines", "cve_to_cwe"), pipeline)
    (pipeline / "data").mkdir()
    rng = random.Random(7)
    for split in ("train", "validation", "test"):
        rows = [json.loads(line) for line in (source / "data" / f"{split}.jsonl").read_text().splitlines()]
        labels = [row["expected"] for row in rows]
        rng.shuffle(labels)
        text = "".join(json.dumps(row | {"expected": label}) + "\n" for row, label in zip(rows, labels, strict=True))
        (pipeline / "data" / f"{split}.jsonl").write_text(text)
    spec = (pipeline / "pipeline.yaml").read_text()
    files = "{train: data/train.jsonl, validation: data/validation.jsonl, test: data/test.jsonl}"
    inline = f"data: {files}\nscore: cwe_match\nclosed_labels: true\n"
    kept = [line for line in spec.splitlines() if not line.startswith("benchmark:")]
    (pipeline / "pipeline.yaml").write_text("\n".join(kept) + "\n" + inline)
    result = optimize(tmp_path, pipeline)
    gain = result["test_gain"]
    assert gain is None or not (gain["mean"] > 0 and gain["p"] < 0.05)
    assert result["variants"], "the optimizer must have tried"


def test_a_quite_different_pipeline_is_improved_by_the_same_stand_ins(tmp_path: Path) -> None:
    result = optimize(tmp_path, "quickstart")
    assert result["status"] == "improved"
    assert result["best"]["level"] == "structure"
    assert result["test_gain"]["mean"] > 0.2
    assert result["test_gain"]["p"] < 0.001


def test_where_a_prompt_suffices_structure_stays_closed(tmp_path: Path) -> None:
    result = optimize(tmp_path, CONTROLS / "prompt_suffices")
    assert result["status"] == "improved"
    assert result["best"]["level"] == "prompt"
    assert result["levels"] == ["prompt"] or "structure" not in result["levels"]
    assert result["test_gain"]["p"] < 0.001


def test_where_nothing_helps_nothing_is_accepted_and_test_stays_sealed(tmp_path: Path) -> None:
    result = optimize(tmp_path, CONTROLS / "nothing_helps")
    assert result["status"] == "no_gain"
    assert verdicts(result, "prompt")
    assert "accepted" not in [variant["verdict"] for variant in result["variants"]]
    assert result["baseline"]["test"] is None
    assert not list(Path(result["run_dir"], "evaluations").glob("*-test"))
