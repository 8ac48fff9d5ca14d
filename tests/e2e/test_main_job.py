"""`fapo optimize`, whole: the real CLI and LiteLLM on the stand-ins. These runs keep the demonstration honest."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fapo.records import SPLITS
from tests.support.command import builtin, optimize


@pytest.fixture(scope="module")
def cve(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("cve")
    return folder, optimize(folder, "cve_to_cwe")


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
        assert "not a language model" in Path(result["page"]).read_text()
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
