"""The same stand-ins on a pipeline with another fault, on one that a prompt mends, and on one that nothing mends."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import optimize

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


def test_where_nothing_helps_nothing_is_accepted_and_test_stays_sealed(tmp_path: Path) -> None:
    result = optimize(tmp_path, CONTROLS / "nothing_helps")
    assert result["status"] == "no_gain"
    assert result["variants"]
    assert "accepted" not in [variant["verdict"] for variant in result["variants"]]
    assert result["baseline"]["test"] is None
    assert not list(Path(result["run_dir"], "evaluations").glob("*-test"))
