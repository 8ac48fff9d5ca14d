"""The same stand-ins on a pipeline with another fault, on one that a prompt mends, and on one that nothing mends."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import fapo, optimize

CONTROLS = Path(__file__).parent.parent / "pipelines"


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
    last = fapo(tmp_path, "optimize", "--resume", result["run_dir"]).out.splitlines()[-1]
    assert last.startswith("changed: prompts/")
    assert last.endswith(f"fapo apply {result['run_dir']}")


def test_codex_under_the_same_rules_comes_to_the_same_end(tmp_path: Path) -> None:
    claude = optimize(tmp_path / "claude", CONTROLS / "prompt_suffices")
    codex = optimize(tmp_path / "codex", CONTROLS / "prompt_suffices", "--optimizer-model", "codex/standin/optimizer")
    variants = [
        [(row["technique"], row["verdict"], row["difference"]) for row in result["variants"]]
        for result in (claude, codex)
    ]
    assert variants[0] == variants[1]
    assert codex["test_gain"] == claude["test_gain"]
    journal = Path(codex["run_dir"], "journal.jsonl").read_text()
    assert '"cli":"codex 0.163.0"' in journal
    assert '"status":"pass"' in journal, "the reviewer is Codex too"


def test_where_nothing_helps_nothing_is_accepted_and_test_stays_sealed(tmp_path: Path) -> None:
    result = optimize(tmp_path, CONTROLS / "nothing_helps")
    assert result["status"] == "no_gain"
    assert result["variants"]
    assert "accepted" not in [variant["verdict"] for variant in result["variants"]]
    assert result["baseline"]["test"] is None
    assert not list(Path(result["run_dir"], "evaluations").glob("*-test"))
    assert "Test stays sealed" in Path(result["page"]).read_text()
    last = fapo(tmp_path, "optimize", "--resume", result["run_dir"]).out.splitlines()[-1]
    assert last.startswith("nothing changed: ")
    assert "none better than chance explains" in last
