"""A pipeline on disk and a plan that evaluates it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fapo.data import split_digest
from fapo.evaluation import evaluate
from fapo.evaluation.evaluate import EvaluationPlan, Manifest
from fapo.evaluation.scoring import ScoreFunction
from fapo.pipeline.spec import parse_spec
from fapo.records import Case, Prediction, Score, Split
from fapo.sandbox.policy import Level
from fapo.sandbox.probe import LevelReport
from tests.support.evaluations import equal
from tests.support.levels import HERE

SPEC = "name: p\nbenchmark: b\nmodels: {task: fake}\nlimits: {timeout_s: 20, llm_calls: 3}\n"

MakePlan = Callable[..., EvaluationPlan]


@pytest.fixture
def make_plan(tmp_path: Path) -> MakePlan:
    return plan_maker(tmp_path)


@pytest.fixture(params=HERE)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Level:
    """Each level that this machine has, as if it were the strongest."""
    found: Level = request.param
    monkeypatch.setattr(evaluate, "choose_level", lambda _: LevelReport(found, True, (), ""))
    return found


def plan_maker(tmp_path: Path) -> MakePlan:
    """Writes pipelines below a folder, and plans their evaluation."""

    def make(code: str, prompts: dict[str, str] | None = None, *, n: int = 3, trials: int = 1, spec: str = SPEC,
             score: Callable[[Case, Prediction], Score] = equal, split: Split = "validation",
             **changes: Any) -> EvaluationPlan:  # fmt: skip
        directory = tmp_path / "pipeline"
        (directory / "prompts").mkdir(parents=True, exist_ok=True)
        (directory / "pipeline.py").write_text(textwrap.dedent(code))
        for name, text in (prompts or {"say": "User:\n{{ text }}\n"}).items():
            (directory / "prompts" / f"{name}.md").write_text(text)
        cases = tuple(Case(f"case-{i}", {"text": f"word{i}"}, f"WORD{i}") for i in range(n))
        parsed = parse_spec(spec, directory)
        manifest = Manifest("p", "000", "d", split, split_digest(cases), "equal", "s", trials, parsed.models)
        function = ScoreFunction("equal", tmp_path / "equal.py", "s", score)
        values: dict[str, Any] = {"concurrency": 8, "isolation": "auto"} | changes
        target = values.pop("directory", tmp_path / "evaluation")
        return EvaluationPlan(directory, parsed, cases, function, manifest, target, **values)

    return make
