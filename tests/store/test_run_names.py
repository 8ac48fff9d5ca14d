"""A run is named by its path, its name, a beginning that only one has, or `latest`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fapo.errors import UsageError
from fapo.store.run_names import find_run, run_names

NAMES = {"20260101-100000-shop": "run.json", "20260101-120000-500-eval-shop": "evaluation.json",
         "20260102-090000-shop": "run.json"}  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, file in NAMES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
    inner = tmp_path / "20260102-090000-shop" / "evaluations" / "001-test"
    inner.mkdir(parents=True)
    (inner / "traces.jsonl").write_text("")
    (tmp_path / "something-else").mkdir()
    return tmp_path


def test_names_come_latest_first_and_by_kind(runs: Path) -> None:
    assert list(run_names(runs)) == sorted(NAMES, reverse=True)
    assert list(run_names(runs, "evaluation")) == ["20260101-120000-500-eval-shop"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("20260101-100000-shop", "20260101-100000-shop"),
        ("20260102", "20260102-090000-shop"),
        ("latest", "20260102-090000-shop"),
        ("latest/evaluations/001-test", "20260102-090000-shop/evaluations/001-test"),
        ("20260102/evaluations/001-test/traces.jsonl", "20260102-090000-shop/evaluations/001-test"),
    ],
)
def test_what_names_a_run(runs: Path, name: str, found: str) -> None:
    assert find_run(name, runs) == runs / found


def test_a_kind_bounds_what_a_name_can_mean(runs: Path) -> None:
    assert find_run("latest", runs, "evaluation").name == "20260101-120000-500-eval-shop"
    assert find_run("20260101", runs, "run").name == "20260101-100000-shop"
    path = runs / "20260102-090000-shop"
    assert find_run(str(path), Path("/nowhere"), "run") == path


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("20260101", None, "is the beginning of 20260101-120000-500-eval-shop, 20260101-100000-shop: give more"),
        ("20260102-090001-shop", None, "did you mean 20260102-090000-shop?"),
        ("shop", "run", "did you mean 20260102-090000-shop?"),
        ("", None, "no such run or evaluation"),
        ("zebra", None, "`fapo runs` lists them"),
        ("latest", None, "none in"),
        ("20260102-090000-shop", "evaluation", "name one of its evaluations"),
        ("20260101-120000-500-eval-shop", "run", "an evaluation, not a run"),
        ("20260102/evaluations/009-test", None, "no such directory"),
        ("./nothing", None, "no such directory"),
    ],
)
def test_what_names_none_says_what_there_is(runs: Path, name: str, kind: str | None, words: str) -> None:
    folder = runs / "something-else" if words == "none in" else runs
    with pytest.raises(UsageError) as refused:
        find_run(name, folder, kind)  # type: ignore[arg-type]
    assert words in str(refused.value)
