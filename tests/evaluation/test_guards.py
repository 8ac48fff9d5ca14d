"""Benchmark guards, in evaluations through the real worker: excess fails its case, and what is hidden is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from pydantic import ValidationError

from fapo.data import Guards
from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Observer, evaluate
from fapo.evaluation.guards import Allowance, allowance
from fapo.llm.gateway import Gateway
from fapo.records import Usage
from tests.support.evaluations import FakeGateway, Watcher

MakePlan = Callable[..., EvaluationPlan]

ASK_TWICE = """\
    from fapo import Prediction

    async def run(inputs, ctx):
        await ctx.llm("say", text=inputs["text"])
        answer = await ctx.llm("say", text=inputs["text"])
        return Prediction(output=answer, evidence=["a", "b", "a"])
    """


def run(plan: EvaluationPlan) -> Evaluation:
    return asyncio.run(evaluate(plan, cast(Gateway, FakeGateway()), cast(Observer, Watcher())))


def failures(evaluation: Evaluation) -> set[str]:
    return {f"{r.failure.owner} {r.failure.kind}: {r.failure.message}" for r in evaluation.records if r.failure}


def test_documents_are_counted_once_each(make_plan: MakePlan) -> None:
    assert failures(run(make_plan(ASK_TWICE, guards=Guards(documents=2)))) == set()


def test_one_document_too_many_fails_the_case_and_counts_zero(make_plan: MakePlan) -> None:
    evaluation = run(make_plan(ASK_TWICE, guards=Guards(documents=1)))
    assert failures(evaluation) == {"pipeline guard: names 2 documents, and the benchmark's guards allow 1"}
    assert evaluation.mean == 0.0


def test_code_sees_only_the_inputs_that_are_allowed(make_plan: MakePlan) -> None:
    code = """\
        async def run(inputs, ctx):
            return sorted(inputs)
        """
    evaluation = run(make_plan(code, guards=Guards(inputs=("other",))))
    assert [record.prediction.output for record in evaluation.records if record.prediction] == [[], [], []]


@pytest.mark.parametrize(
    ("allowed", "message"),
    [
        (Allowance(1, None, None), "2 model calls in one case (1 at most)"),
        (Allowance(None, 1, None), "tokens in one case (1 at most)"),
        (Allowance(None, None, 0.0015), "$0.0020 for one case ($0.0015 at most)"),
    ],
)
def test_what_a_case_takes_is_bounded(make_plan: MakePlan, allowed: Allowance, message: str) -> None:
    evaluation = run(make_plan(ASK_TWICE, allowance=allowed))
    (told,) = failures(evaluation)
    assert message in told
    assert told.startswith("pipeline guard: ")
    assert evaluation.mean == 0.0


def test_what_is_allowed_runs(make_plan: MakePlan) -> None:
    assert run(make_plan(ASK_TWICE, allowance=Allowance(2, 1000, 0.0021))).mean == 1.0


def test_the_factors_are_over_the_baselines_mean() -> None:
    demand = Usage(20, 0, 900, 100, 0.5)
    assert allowance(Guards(calls=1.5, tokens=2, cost=4), demand, 10) == Allowance(3.0, 200.0, 0.2)
    assert allowance(Guards(documents=3), demand, 10) is None


def test_what_is_unknown_is_not_over_its_limit() -> None:
    assert Allowance(None, 10, 0.1).exceeded_by(Usage(1, 0, None, None, None)) is None
    assert allowance(Guards(cost=2), Usage(1, 0, 1, 1, None), 1) == Allowance(None, None, None)


@pytest.mark.parametrize("guards", [{"documents": 0}, {"calls": 0.5}, {"docs": 3}])
def test_guards_that_make_no_sense_are_refused(guards: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Guards.model_validate(guards)
