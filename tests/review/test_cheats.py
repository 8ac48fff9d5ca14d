"""Cheats are turned down before a call is paid for; honest work is not."""

from __future__ import annotations

import pytest

from bench.cheats import CHEATS, HONEST, caught
from fapo.evaluation.project import find_pipeline, load_project
from fapo.store.variants import take_snapshot


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, str | None]]:
    project = load_project(find_pipeline("quickstart"))
    cases = [*project.cases("test"), *project.cases("validation"), *project.cases("train")]
    base = take_snapshot(project.directory, hard_links=True)
    return caught(base, cases, project.benchmark.closed_labels, project.score.path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_turned_down(verdicts: dict[str, dict[str, str | None]], name: str) -> None:
    assert verdicts["cheat"][name] is not None


@pytest.mark.parametrize("name", HONEST)
def test_honest_work_passes(verdicts: dict[str, dict[str, str | None]], name: str) -> None:
    assert verdicts["honest"][name] is None
