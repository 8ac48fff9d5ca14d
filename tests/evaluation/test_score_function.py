"""A score function is held to its contract: what it cannot score is the output's fault only if others it can."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from fapo.errors import PipelineError, ScorerError
from fapo.evaluation import scoring
from fapo.evaluation.evaluate import EvaluationPlan, Observer, evaluate
from fapo.evaluation.scoring import ScoreFunction
from fapo.llm.gateway import Gateway
from fapo.records import Case, Prediction, Score
from tests.support.evaluations import FakeGateway, Watcher

MakePlan = Callable[..., EvaluationPlan]
SAYS = "async def run(inputs, ctx):\n    return inputs['text']\n"
CASE = Case("case-1", {}, "yes")


def scorer(function: Callable[[Case, Prediction], Score]) -> ScoreFunction:
    return ScoreFunction("own", Path("own.py"), "d", function)


def catastrophic(case: Case, prediction: Prediction) -> Score:
    return Score(float(bool(re.match("(a+)+$", str(prediction.output)))))


def hangs(case: Case, prediction: Prediction) -> Score:
    while True:
        pass


def test_an_output_on_which_alone_it_hangs_is_unscorable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SCORE_TIMEOUT_S", 0.2)
    with pytest.raises(PipelineError, match=r"TimeoutError: took longer than") as raised:
        scorer(catastrophic)(CASE, Prediction("a" * 40 + "b"))
    assert raised.value.kind == "unscorable"
    assert scorer(catastrophic)(CASE, Prediction("aaa")).value == 1.0


def test_one_that_hangs_on_every_output_is_at_fault_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SCORE_TIMEOUT_S", 0.2)
    with pytest.raises(ScorerError, match=r"own.py: raised on case case-1: TimeoutError"):
        scorer(hangs)(CASE, Prediction("x"))


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), float("inf")])
def test_a_value_outside_of_0_to_1_is_its_own_fault(value: float) -> None:
    with pytest.raises(ScorerError, match="with a value in"):
        scorer(lambda *_: Score(value))(CASE, Prediction("x"))


def test_a_value_that_only_one_output_brings_outside_is_unscorable() -> None:
    with pytest.raises(PipelineError) as raised:
        scorer(lambda _, prediction: Score(float(len(prediction.output or ""))))(CASE, Prediction("xx"))
    assert raised.value.kind == "unscorable"


def test_a_score_that_is_a_package_imports_its_modules(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").write_text(
        "from fapo import Score\nfrom .words import count\n\n\n"
        "def score(case, prediction):\n    return Score(count(prediction.output) / 4)\n"
    )
    (tmp_path / "own" / "words.py").write_text("def count(text):\n    return len(text.split())\n")
    before = scoring.load_score("own/__init__.py", tmp_path)
    assert (before.name, before.file_name) == ("own", "own.py")
    assert "def count" in before.source
    assert before(CASE, Prediction("one two")) == Score(0.5)
    (tmp_path / "own" / "words.py").write_text("def count(text):\n    return 1\n")
    after = scoring.load_score("own/__init__.py", tmp_path)
    assert after.digest != before.digest
    assert after(CASE, Prediction("one two")) == Score(0.25)


def test_a_coroutine_waits_and_other_cases_go_on(make_plan: MakePlan) -> None:
    together = asyncio.Barrier(3)

    async def meets(case: Case, prediction: Prediction) -> Score:
        async with asyncio.timeout(20):
            await together.wait()
        return Score(float(prediction.output == case.inputs["text"]))

    plan = make_plan(SAYS, score=meets)
    evaluation = asyncio.run(evaluate(plan, cast(Gateway, FakeGateway()), cast(Observer, Watcher())))
    assert [result.value for result in evaluation.results] == [1.0, 1.0, 1.0]
    assert not plan.score.asks_judge


def test_what_a_coroutine_raises_stops_the_evaluation(make_plan: MakePlan) -> None:
    async def breaks(case: Case, prediction: Prediction) -> Score:
        raise ValueError("no")

    plan = make_plan(SAYS, score=breaks)
    with pytest.raises(ScorerError, match="raised on case case-0: ValueError: no"):
        asyncio.run(evaluate(plan, cast(Gateway, FakeGateway()), cast(Observer, Watcher())))
