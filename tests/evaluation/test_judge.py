"""A score function that asks a model: paid for apart, cached, and a provider's failure leaves the case undecided."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from fapo.errors import ProviderError, ScorerError, UsageError
from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Observer, evaluate
from fapo.evaluation.judging import Judge
from fapo.evaluation.scoring import load_score
from fapo.llm.gateway import Gateway
from fapo.records import Case, ModelReply, ModelRequest, Prediction, Score
from tests.support.evaluations import FakeGateway, Watcher

MakePlan = Callable[..., EvaluationPlan]
ECHO = """\
    async def run(inputs, ctx):
        return await ctx.llm("say", text=inputs["text"])
    """


class Bench(FakeGateway):
    """Answers a judge's question by yes or no, and counts who asked."""

    def __init__(self) -> None:
        super().__init__()
        self.purposes: list[str] = []
        self.broken = False

    async def complete(
        self, request: ModelRequest, purpose: str = "task", *, on_hold: object = None, rank: int = 0
    ) -> ModelReply:
        self.purposes.append(purpose)
        if purpose == "judge":
            if self.broken:
                raise ProviderError("out of order")
            text = request.messages[-1]["content"]
            return ModelReply("yes" if "WORD1" in text else "no", request.model, "stop", 20, 1, 0.002, 0.01)
        return await super().complete(request, purpose, on_hold=on_hold, rank=rank)


async def ask(case: Case, prediction: Prediction, judge: Judge) -> Score:
    return Score(float(await judge(f"Is it good? {prediction.output}") == "yes"))


def run(plan: EvaluationPlan, gateway: Bench) -> Evaluation:
    judged = replace(plan, judge="the-judge", score=replace(plan.score, function=ask))
    return asyncio.run(evaluate(judged, cast(Gateway, gateway), cast(Observer, Watcher())))


def test_the_judge_scores_and_its_money_is_counted_apart(make_plan: MakePlan) -> None:
    gateway = Bench()
    evaluation = run(make_plan(ECHO), gateway)
    assert [result.value for result in evaluation.results] == [0.0, 1.0, 0.0]
    assert sorted(gateway.purposes) == ["judge"] * 3 + ["task"] * 3
    assert (evaluation.usage.llm_calls, evaluation.judge_usage.llm_calls) == (3, 3)
    assert evaluation.judge_usage.cost_usd == pytest.approx(0.006)
    assert evaluation.demand.llm_calls == 3


def test_a_judge_that_cannot_be_reached_leaves_the_case_undecided(make_plan: MakePlan) -> None:
    gateway = Bench()
    gateway.broken = True
    evaluation = run(make_plan(ECHO, n=2), gateway)
    assert [result.value for result in evaluation.results] == [None, None]
    assert {result.failure.owner for result in evaluation.results if result.failure} == {"provider"}
    gateway.broken = False
    assert [result.value for result in run(make_plan(ECHO, n=2), gateway).results] == [0.0, 1.0]


def test_a_score_that_breaks_on_the_judges_reply_stops_the_evaluation(make_plan: MakePlan) -> None:
    async def broken(case: Case, prediction: Prediction, judge: Judge) -> Score:
        return Score(float(await judge("?")))

    plan = make_plan(ECHO)
    judged = replace(plan, judge="j", score=replace(plan.score, function=broken))
    with pytest.raises(ScorerError, match="could not convert"):
        asyncio.run(evaluate(judged, cast(Gateway, Bench()), cast(Observer, Watcher())))


@pytest.mark.parametrize(
    "code", ["async def score(case):\n    ...\n", "def score(case, prediction, judge):\n    ...\n"]
)
def test_the_signature_tells_whether_a_judge_is_asked(tmp_path: Path, code: str) -> None:
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(UsageError, match="async def score"):
        load_score("own.py", tmp_path)
