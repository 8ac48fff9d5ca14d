"""An endpoint that drops, refuses and garbles one call in ten: no case is lost, and no score is invented."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, evaluate
from fapo.llm.budget import Budget
from fapo.llm.cache import ReplyCache
from fapo.llm.endpoints import Endpoint
from fapo.llm.gateway import Gateway, Patience
from fapo.standin.process import standin_server
from tests.support.evaluations import Watcher

MakePlan = Callable[..., EvaluationPlan]

CODE = """\
    async def run(inputs, ctx):
        return await ctx.llm("say", text=inputs["text"])
    """
PROMPT = {"say": "System:\nRepeat the text.\n\nUser:\nText: {{ text }}\n"}
SPEC = "name: p\nbenchmark: b\nmodels: {task: fake}\nlimits: {timeout_s: 60, llm_calls: 3}\n"


async def through_the_real_path(plan: EvaluationPlan, cache: Path, fault_rate: float) -> Evaluation:
    async with standin_server(fault_rate=fault_rate) as address:
        endpoint = Endpoint("openai/standin-reader", f"{address.base_url}/v1", "x", address.digest, free=True)
        patience = Patience(first_wait_s=0.01, longest_wait_s=0.05)
        own = {"fake": endpoint}
        cached = ReplyCache(cache)
        gateway = Gateway(cache=cached, budget=Budget(), endpoints=own, patience=patience, loopback_only=True)
        try:
            return await evaluate(plan, gateway, Watcher())
        finally:
            await gateway.aclose()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm", "ignore:.*:UserWarning:pydantic")
def test_every_case_ends_as_it_would_without_faults(make_plan: MakePlan, tmp_path: Path) -> None:
    calm = make_plan(CODE, PROMPT, n=150, spec=SPEC, directory=tmp_path / "calm")
    rough = make_plan(CODE, PROMPT, n=150, spec=SPEC, directory=tmp_path / "rough")
    expected = asyncio.run(through_the_real_path(calm, tmp_path / "a.sqlite", 0.0))
    found = asyncio.run(through_the_real_path(rough, tmp_path / "b.sqlite", 0.1))
    assert len(found.records) == 150
    assert not [record.failure for record in found.records if record.failure]
    outputs = [[r.prediction and r.prediction.output for r in evaluation.records] for evaluation in (expected, found)]
    assert outputs[0] == outputs[1]
    assert found.usage.llm_calls == 150
