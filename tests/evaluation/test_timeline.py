"""A case's steps are in the order of cause and effect, at the times that they take without other cases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Observer, evaluate
from fapo.evaluation.timeline import Call, Timeline
from fapo.llm.gateway import Gateway
from fapo.records import ModelReply, ModelRequest
from tests.support.evaluations import FakeGateway, Watcher

MakePlan = Callable[..., EvaluationPlan]


def test_before_any_call_nothing_moves() -> None:
    assert Timeline([Call(1.0, 2.0, 5.0)]).at(0.7) == 0.7


def test_what_comes_after_a_call_moves_by_what_the_call_was_longer_or_shorter() -> None:
    cached, queued = Call(1.0, 1.0, 3.0), Call(2.0, 9.0, 1.0)
    assert Timeline([cached]).at(1.5) == 4.5
    assert Timeline([queued]).at(9.5) == 3.5
    assert Timeline([cached, queued]).at(10.0) == pytest.approx(1.0 + 3.0 + 1.0 + 1.0 + 1.0)


def test_calls_side_by_side_are_waited_for_together() -> None:
    side_by_side = [Call(0.0, 1.0, 2.0), Call(0.0, 1.1, 5.0), Call(0.0, 1.2, 3.0)]
    assert Timeline(side_by_side).at(1.2) == 5.0
    assert Timeline(reversed(side_by_side)).at(1.7) == pytest.approx(5.5)


class CachedGateway(FakeGateway):
    """Answers at once what took half a second when it was given."""

    async def complete(self, request: ModelRequest, *_: Any, **__: Any) -> ModelReply:
        reply = await super().complete(request)
        return ModelReply(reply.text, reply.model, "stop", 10, 5, 0.001, 0.5, cached=True)


CODE = """\
    import asyncio

    async def run(inputs, ctx):
        text = await ctx.call("clean", str.strip, inputs["text"])
        first = await ctx.llm("first", text=text)
        short = await ctx.call("cut", lambda x: x[:5], first)
        await asyncio.gather(ctx.llm("left", text=short + "l"), ctx.llm("right", text=short + "r"))
        return await ctx.call("join", "".join, [first])
    """
PROMPTS = dict.fromkeys(("first", "left", "right"), "User:\n{{ text }}\n")


def run(plan: EvaluationPlan) -> Evaluation:
    return asyncio.run(evaluate(plan, cast(Gateway, CachedGateway()), cast(Observer, Watcher())))


def test_steps_stand_in_the_order_in_which_they_ran_however_many_cases_wait(make_plan: MakePlan) -> None:
    evaluation = run(make_plan(CODE, PROMPTS, n=200, concurrency=4))
    assert evaluation.mean == 1.0
    for record in evaluation.read_records():
        names = [step.name for step in record.steps]
        assert names[:3] == ["clean", "first", "cut"]
        assert set(names[3:5]) == {"left", "right"}
        assert names[5:] == ["join"]
        starts = {step.name: step.start_s for step in record.steps}
        assert starts["cut"] - starts["first"] >= 0.5
        assert 1.0 <= starts["join"] <= record.duration_s
