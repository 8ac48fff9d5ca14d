"""A dry run pays for a few cases, spread over the split, and says from them what all would take."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from fapo.config import CallLimits
from fapo.errors import CredentialsError, ProviderError
from fapo.evaluation.dry_run import DryRun, dry_run, spread_cases
from fapo.evaluation.evaluate import EvaluationPlan
from fapo.llm.gateway import Gateway
from fapo.records import Case, ModelReply, ModelRequest
from tests.support.evaluations import Watcher

MakePlan = Callable[..., EvaluationPlan]

ECHO = """\
    async def run(inputs, ctx):
        return await ctx.llm("say", text=inputs["text"])
    """
GROWING = """\
    async def run(inputs, ctx):
        for _ in range(1 + int(inputs["text"][4:]) % 3):
            await ctx.llm("say", text=inputs["text"])
    """


@dataclass
class Model:
    """Every call takes 100 tokens and gives 10, at a cent; `changes` replace parts of a reply."""

    changes: dict[str, Any] = field(default_factory=dict)
    error: Callable[[str], Exception | None] = lambda text: None
    requests: list[ModelRequest] = field(default_factory=list)

    async def complete(self, request: ModelRequest, purpose: str = "task", **options: object) -> ModelReply:
        self.requests.append(request)
        text = str(request.messages[-1]["content"])
        if (error := self.error(text)) is not None:
            raise error
        values: dict[str, Any] = {"input_tokens": 100, "output_tokens": 10, "cost_usd": 0.01, "latency_s": 0.5}
        return ModelReply(text.upper(), request.model, "stop", **(values | self.changes))


def forecast(
    plan: EvaluationPlan, model: Model | None = None, *, sample: int = 5, watcher: Watcher | None = None,
    limits: dict[str, Any] | None = None,
) -> DryRun:  # fmt: skip
    """A dry run in a folder of its own."""
    plan = replace(plan, directory=Path(tempfile.mkdtemp(dir=plan.variant_dir.parent)))
    gateway = cast(Gateway, model or Model())
    asked = CallLimits(**(limits or {}))
    return asyncio.run(dry_run(plan, gateway, watcher or Watcher(), sample=sample, limits=asked))


def test_what_every_case_costs_is_multiplied(make_plan: MakePlan) -> None:
    model = Model()
    found = forecast(make_plan(ECHO, n=40), model)
    assert len(model.requests) == 5
    assert (found.cases, found.trials, len(found.sampled)) == (40, 1, 5)
    assert (found.calls.expected, found.calls.low, found.calls.high) == (40, 40, 40)
    assert found.input_tokens is not None
    assert found.output_tokens is not None
    assert found.cost_usd is not None
    assert (found.input_tokens.expected, found.output_tokens.expected) == (4000, 400)
    assert found.cost_usd.expected == pytest.approx(0.40)
    assert found.usage.llm_calls == 5
    assert found.usage.cost_usd == pytest.approx(0.05)


def test_the_cases_are_spread_over_the_split_and_the_same_each_time() -> None:
    cases = [Case(str(number), {}, None) for number in range(100)]
    chosen = spread_cases(cases, 5)
    assert [int(case.id) // 20 for case in chosen] == [0, 1, 2, 3, 4]
    assert spread_cases(cases, 5) == chosen
    assert [case.id for case in spread_cases(cases[:3], 5)] == ["0", "1", "2"]


def test_cases_whose_kinds_alternate_are_not_all_of_one_kind() -> None:
    cases = [Case(str(number), {}, None) for number in range(100)]
    assert len({int(case.id) % 10 for case in spread_cases(cases, 10)}) > 3


@pytest.mark.parametrize("n", [1, 2, 7, 99])
@pytest.mark.parametrize("count", [1, 2, 5, 50])
def test_no_case_is_sampled_twice(n: int, count: int) -> None:
    chosen = spread_cases([Case(str(number), {}, None) for number in range(n)], count)
    assert len({case.id for case in chosen}) == min(n, count)


def test_cases_that_differ_give_a_range_around_what_all_of_them_come_to(make_plan: MakePlan) -> None:
    found = forecast(make_plan(GROWING, n=90), sample=12)
    assert found.calls.low is not None
    assert found.calls.high is not None
    assert found.calls.low < 180 < found.calls.high
    assert found.calls.low < found.calls.expected < found.calls.high


def test_the_more_cases_are_sampled_the_narrower_the_range(make_plan: MakePlan) -> None:
    widths = []
    for sample in (4, 30, 90):
        calls = forecast(make_plan(GROWING, n=90), sample=sample).calls
        assert calls.low is not None
        assert calls.high is not None
        widths.append(calls.high - calls.low)
    assert widths[0] > widths[1] > widths[2] == 0


def test_one_case_says_nothing_of_the_range(make_plan: MakePlan) -> None:
    found = forecast(make_plan(ECHO, n=40), sample=1)
    assert (found.calls.expected, found.calls.low, found.calls.high) == (40, None, None)


def test_each_trial_counts(make_plan: MakePlan) -> None:
    model = Model()
    found = forecast(make_plan(ECHO, n=40, trials=3), model)
    assert found.calls.expected == 120
    assert {request.trial for request in model.requests} == {0}


def test_replies_from_the_cache_count_as_what_they_cost_when_they_were_made(make_plan: MakePlan) -> None:
    found = forecast(make_plan(ECHO, n=40), Model({"cached": True}))
    assert (found.usage.llm_calls, found.usage.cached_calls) == (0, 5)
    assert found.calls.expected == 40
    assert found.input_tokens is not None
    assert found.cost_usd is not None
    assert found.input_tokens.expected == 4000
    assert found.cost_usd.expected == pytest.approx(0.40)
    assert all(case.seconds >= 0.5 for case in found.sampled)


def test_what_is_unknown_stays_unknown(make_plan: MakePlan) -> None:
    found = forecast(make_plan(ECHO, n=40), Model({"cost_usd": None, "output_tokens": None}))
    assert found.cost_usd is None
    assert found.output_tokens is None
    assert found.input_tokens is not None


def test_more_places_take_less_time_but_no_less_than_the_longest_case(make_plan: MakePlan) -> None:
    cached = {"cached": True, "latency_s": 60.0}
    one, ten, many = (
        forecast(make_plan(ECHO, n=40, concurrency=places), Model(cached)).minutes.expected for places in (1, 10, 1000)
    )
    assert one == pytest.approx(40, rel=0.05)
    assert ten == pytest.approx(4, rel=0.05)
    assert many == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(
    ("limits", "minutes"),
    [({"rpm": 10}, 9), ({"rpm": 200}, 0), ({"tpm": 1100}, 9), ({"rpm": 50, "tpm": 2200}, 4), ({}, 0)],
)
def test_the_users_own_pace_takes_its_time(make_plan: MakePlan, limits: dict[str, int], minutes: int) -> None:
    """100 calls of 110 tokens: the last ten leave when nine minutes are over."""
    found = forecast(make_plan(ECHO, n=100), Model({"latency_s": 0.0}), limits=limits)
    assert found.minutes.expected == pytest.approx(minutes, abs=0.2)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"max_calls": 39}, "--max-calls 39 would end it before its end"),
        ({"budget_usd": 0.25}, "--budget-usd 0.25 would end it before its end"),
        ({"max_tokens": 4000}, "--max-tokens 4000 would end it before its end"),
    ],
)
def test_a_limit_that_is_too_low_is_said_before(make_plan: MakePlan, limits: dict[str, Any], sentence: str) -> None:
    assert forecast(make_plan(ECHO, n=40), limits=limits).exceeded == (sentence,)


def test_a_limit_within_the_range_may_end_it(make_plan: MakePlan) -> None:
    plan = make_plan(GROWING, n=90)
    high = forecast(plan, sample=12).calls.high
    assert high is not None
    assert forecast(plan, sample=12, limits={"max_calls": int(high) - 1}).exceeded == (
        f"--max-calls {int(high) - 1} may end it before its end",
    )


def test_limits_that_leave_room_are_not_mentioned(make_plan: MakePlan) -> None:
    room = {"max_calls": 40, "budget_usd": 1, "max_tokens": 4400}
    assert forecast(make_plan(ECHO, n=40), limits=room).exceeded == ()


def test_a_case_that_fails_in_the_pipeline_is_shown_and_counts(make_plan: MakePlan) -> None:
    code = """\
        async def run(inputs, ctx):
            await ctx.llm("say", text=inputs["text"])
            raise ValueError("no")
        """
    found = forecast(make_plan(code, n=10), sample=2)
    assert all("ValueError" in str(case.failure) for case in found.sampled)
    assert found.calls.expected == 10


def test_a_case_that_the_provider_failed_is_left_out(make_plan: MakePlan) -> None:
    plan = make_plan(ECHO, n=10)
    first = spread_cases(plan.cases, 5)[0].inputs["text"]
    model = Model(error=lambda text: ProviderError("it is down") if text == first else None)
    found = forecast(plan, model)
    assert [case.undecided for case in found.sampled] == [True, False, False, False, False]
    assert found.calls.expected == 10


@pytest.mark.parametrize(
    ("error", "words"),
    [(ProviderError("it is down"), "no case could be run: it is down"), (CredentialsError("x"), "x")],
)
def test_without_a_provider_there_is_no_forecast(make_plan: MakePlan, error: ProviderError, words: str) -> None:
    with pytest.raises(type(error), match=words):
        forecast(make_plan(ECHO, n=10), Model(error=lambda text: error))


def test_a_person_sees_each_case_as_it_ends(make_plan: MakePlan) -> None:
    watcher = Watcher()
    found = forecast(make_plan(ECHO, n=40), watcher=watcher)
    assert [record.case_id for record in watcher.seen] == [case.case_id for case in found.sampled]
