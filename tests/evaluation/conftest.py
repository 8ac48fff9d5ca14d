"""A pipeline on disk and a plan that evaluates it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fapo.data import split_digest
from fapo.evaluation.evaluate import EvaluationPlan, Manifest
from fapo.evaluation.scoring import ScoreFunction
from fapo.pipeline.spec import parse_spec
from fapo.records import Case, Prediction, Score
from tests.support.evaluations import equal

SPEC = "name: p\nbenchmark: b\nmodels: {task: fake}\nlimits: {timeout_s: 20, llm_calls: 3}\n"

MakePlan = Callable[..., EvaluationPlan]


@pytest.fixture
def make_plan(tmp_path: Path) -> MakePlan:
    def make(code: str, prompts: dict[str, str] | None = None, *, n: int = 3, trials: int = 1, spec: str = SPEC,
             score: Callable[[Case, Prediction], Score] = equal, **changes: Any) -> EvaluationPlan:  # fmt: skip
        directory = tmp_path / "pipeline"
        (directory / "prompts").mkdir(parents=True, exist_ok=True)
        (directory / "pipeline.py").write_text(textwrap.dedent(code))
        for name, text in (prompts or {"say": "User:\n{{ text }}\n"}).items():
            (directory / "prompts" / f"{name}.md").write_text(text)
        cases = tuple(Case(f"case-{i}", {"text": f"word{i}"}, f"WORD{i}") for i in range(n))
        parsed = parse_spec(spec, directory)
        manifest = Manifest("p", "000", "d", "validation", split_digest(cases), "equal", "s", trials, parsed.models)
        function = ScoreFunction("equal", tmp_path / "equal.py", "s", score)
        values: dict[str, Any] = {"concurrency": 8, "isolation": "auto"} | changes
        target = values.pop("directory", tmp_path / "evaluation")
        return EvaluationPlan(directory, parsed, cases, function, manifest, target, **values)

    return make
