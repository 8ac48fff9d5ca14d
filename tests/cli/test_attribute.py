"""`fapo attribute` on an evaluation of `fapo eval`, and on one of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import Done, fapo


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder, and in it the evaluation of a pipeline whose parser loses fields."""
    folder = tmp_path_factory.mktemp("attribute")
    done = fapo(folder, "eval", "quickstart", "--json", "--limit", "40")
    assert done.code == 0, done.err
    return folder, Path(done.json["evaluation_dir"])


def attribute(evaluated: tuple[Path, Path], *options: str) -> Done:
    folder, directory = evaluated
    return fapo(folder, "attribute", directory, *options)


def test_the_shares_of_steps_and_levels_sum_to_the_loss(evaluated: tuple[Path, Path]) -> None:
    done = attribute(evaluated, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["n"] == 40
    assert found["mean"] + found["lost"] == pytest.approx(1.0)
    assert sum(row["share"] for row in found["by_step"]) == pytest.approx(1.0)
    assert sum(found["by_level"].values()) == pytest.approx(1.0)
    assert ("parse_reply", "structure") in [(row["step"], row["levels"][0]) for row in found["by_step"]]
    losses = sum(blame["loss"] for blame in found["blames"])
    assert losses == pytest.approx(40 * found["lost"])


def test_a_person_reads_steps_reasons_and_what_to_do(evaluated: tuple[Path, Path]) -> None:
    shown = attribute(evaluated).out
    assert "parse_reply" in shown
    assert "work at level" in shown
    assert f"fapo trace {evaluated[1]} notice-" in shown
    table = [line for line in shown.splitlines() if line.startswith(("lost at", "extract  ", "parse_reply  "))]
    assert max(map(len, table)) <= 80


def test_an_evaluation_of_a_run_is_attributed_as_the_run_does(evaluated: tuple[Path, Path]) -> None:
    folder, _ = evaluated
    done = fapo(folder, "optimize", "quickstart", "--max-variants", "1", "--json")
    train = Path(done.json["run_dir"], "evaluations", "000-train")
    found = fapo(folder, "attribute", train / "traces.jsonl", "--json").json
    assert (found["variant"], found["split"], found["n"]) == ("000", "train", 80)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "no such directory"),
        ("not an evaluation", "evaluation.json is missing"),
        ("other cases", "cases have changed"),
    ],
)
def test_what_cannot_be_attributed_is_refused(
    evaluated: tuple[Path, Path], tmp_path: Path, what: str, words: str
) -> None:
    directory = tmp_path / "evaluation"
    if what != "missing":
        directory.mkdir()
    if what == "other cases":
        for name in ("request.json", "traces.jsonl", "cases.json"):
            (directory / name).write_bytes((evaluated[1] / name).read_bytes())
        (directory / "pipeline").symlink_to(evaluated[1] / "pipeline")
        manifest = json.loads((evaluated[1] / "evaluation.json").read_text())
        (directory / "evaluation.json").write_text(json.dumps(manifest | {"cases_digest": "0" * 64}))
    done = fapo(tmp_path, "attribute", directory)
    assert done.code == 2
    assert words in done.err
