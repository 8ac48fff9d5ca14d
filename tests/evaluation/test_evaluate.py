"""One evaluation through the real worker: what is recorded, who is to blame, what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from fapo.errors import BudgetExceeded, CredentialsError, PipelineError, ProviderError, ScorerError, UsageError
from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Observer, evaluate, find_record, load_decided
from fapo.llm.gateway import Gateway
from fapo.records import Case, CaseRecord, ModelRequest, Prediction, Score
from tests.support.evaluations import FakeGateway, Watcher

MakePlan = Callable[..., EvaluationPlan]

ECHO = """\
    async def run(inputs, ctx):
        return await ctx.llm("say", text=inputs["text"])
    """


def run(plan: EvaluationPlan, gateway: Any = None, watcher: Any = None) -> Evaluation:
    chosen = cast(Gateway, gateway or FakeGateway())
    return asyncio.run(evaluate(plan, chosen, cast(Observer, watcher or Watcher())))


def only(evaluation: Evaluation) -> CaseRecord:
    assert len(evaluation.records) == 1
    return evaluation.records[0]


def test_cases_are_scored_in_their_order_and_every_step_is_traced(make_plan: MakePlan) -> None:
    evaluation = run(make_plan(ECHO))
    assert [record.case_id for record in evaluation.records] == ["case-0", "case-1", "case-2"]
    assert evaluation.mean == 1.0
    step = evaluation.records[1].steps[0]
    assert (step.name, step.kind, step.output, step.finish_reason, step.model) == (
        "say",
        "llm",
        "WORD1",
        "stop",
        "fake",
    )
    assert step.inputs == {"variables": {"text": "word1"}, "messages": [{"role": "user", "content": "word1"}]}
    assert evaluation.usage.llm_calls == 3
    assert evaluation.usage.cost_usd == pytest.approx(0.003)
    assert evaluation.isolation != "none"


def test_function_steps_stand_in_the_trace_in_the_order_in_which_they_ran(make_plan: MakePlan) -> None:
    code = """\
        def shout(text):
            return text + "!"

        async def run(inputs, ctx):
            loud = await ctx.call("shout", shout, inputs["text"])
            return await ctx.llm("say", text=loud)
        """
    record = run(make_plan(code, n=1)).records[0]
    assert [(step.name, step.kind) for step in record.steps] == [("shout", "function"), ("say", "llm")]
    assert record.steps[0].inputs == {"args": ["word0"], "kwargs": {}}
    assert record.steps[0].output == "word0!"


def test_trials_and_repeated_questions_are_told_apart(make_plan: MakePlan) -> None:
    code = """\
        async def run(inputs, ctx):
            await ctx.llm("say", text="same")
            return await ctx.llm("say", text="same")
        """
    gateway = FakeGateway()
    run(make_plan(code, n=1, trials=2), gateway)
    asked = sorted((request.trial, request.occurrence) for request in gateway.requests)
    assert asked == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (
            "async def run(inputs, ctx):\n    return 1 / 0",
            "raised",
            "ZeroDivisionError: division by zero (pipeline.py:2)",
        ),
        ("async def run(inputs, ctx):\n    return inputs['nothing']", "raised", "KeyError"),
        ("async def run(inputs, ctx):\n    return await ctx.llm('nope')", "no_prompt", "no prompts/nope.md"),
        ("async def run(inputs, ctx):\n    return await ctx.llm('say')", "placeholder", "'text' is undefined"),
        (
            "async def run(inputs, ctx):\n    for _ in range(9): await ctx.llm('say', text='x')",
            "limit",
            "more than 3 model",
        ),
        ("import os\nasync def run(inputs, ctx):\n    os._exit(3)", "died", "worker"),
        ("async def run(inputs, ctx):\n    raise SystemExit(3)", "raised", "SystemExit: 3"),
        ("async def run(inputs, ctx):\n    raise KeyboardInterrupt", "raised", "KeyboardInterrupt"),
    ],
)
def test_what_the_pipeline_does_wrong_is_its_own_failure_and_counts_zero(
    make_plan: MakePlan, code: str, kind: str, words: str
) -> None:
    evaluation = run(make_plan(code, n=1))
    failure = only(evaluation).failure
    assert failure is not None
    assert (failure.owner, failure.kind) == ("pipeline", kind)
    assert words in failure.message
    assert evaluation.values == {"case-0": 0.0}


@pytest.mark.parametrize("wait", ["await asyncio.sleep(3600)", "while True: pass"], ids=["sleeping", "spinning"])
def test_a_case_that_takes_too_long_fails_alone(make_plan: MakePlan, wait: str) -> None:
    code = f"""\
        import asyncio

        async def run(inputs, ctx):
            if inputs["text"] == "word1":
                {wait}
            return await ctx.llm("say", text=inputs["text"])
        """
    evaluation = run(make_plan(code, spec=SPEC_FAST, n=4))
    failures = {record.case_id: record.failure.kind for record in evaluation.records if record.failure}
    assert failures == {"case-1": "timeout"}
    assert evaluation.mean == 0.75


SPEC_FAST = "name: p\nbenchmark: b\nmodels: {task: fake}\nlimits: {timeout_s: 0.5, llm_calls: 3}\n"


def test_one_case_that_kills_the_worker_takes_no_other_with_it(make_plan: MakePlan) -> None:
    code = """\
        import os

        async def run(inputs, ctx):
            text = await ctx.llm("say", text=inputs["text"])
            if text == "WORD2":
                os._exit(9)
            return text
        """
    evaluation = run(make_plan(code, n=6))
    assert evaluation.values == {f"case-{i}": float(i != 2) for i in range(6)}


@pytest.mark.parametrize("output", ["'\\ud800'", "deep", "float('nan')", "10 ** 5000", "{1: {2, 3}}", "b'x'", "None"])
def test_an_output_of_any_kind_ends_one_case_and_not_the_evaluation(make_plan: MakePlan, output: str) -> None:
    code = f"""\
        deep = []
        for _ in range(400):
            deep = [deep]

        async def run(inputs, ctx):
            return {output} if inputs["text"] == "word1" else inputs["text"].upper()
        """
    evaluation = run(make_plan(code))
    assert evaluation.values == {"case-0": 1.0, "case-1": 0.0, "case-2": 1.0}
    assert len(load_decided(evaluation.directory)) == 3


def failing(error: Exception, *, only_for: str = "") -> Callable[[ModelRequest], str]:
    def answer(request: ModelRequest) -> str:
        text = str(request.messages[-1]["content"])
        if only_for in text:
            raise error
        return text.upper()

    return answer


def test_a_provider_fault_leaves_the_case_undecided_and_a_resumed_evaluation_decides_it(make_plan: MakePlan) -> None:
    plan = make_plan(ECHO)
    first = run(plan, FakeGateway(failing(ProviderError("down"), only_for="word1")))
    assert first.values == {"case-0": 1.0, "case-2": 1.0}
    assert [record.case_id for record in first.failed("provider")] == ["case-1"]
    gateway = FakeGateway()
    watcher = Watcher()
    second = run(plan, gateway, watcher)
    assert second.mean == 1.0
    assert len(gateway.requests) == 1
    assert sorted(record.case_id for record in watcher.seen) == ["case-0", "case-1", "case-2"]


def test_a_provider_that_is_out_ends_the_evaluation_early(make_plan: MakePlan) -> None:
    gateway = FakeGateway(failing(ProviderError("down")))
    with pytest.raises(ProviderError, match="20 cases in a row failed at the provider, last: down"):
        run(make_plan(ECHO, n=500), gateway)
    assert len(gateway.requests) < 60


@pytest.mark.parametrize("error", [CredentialsError("bad key"), BudgetExceeded("$1 spent")])
def test_a_refused_key_and_a_spent_budget_stop_the_evaluation_and_keep_what_is_done(
    make_plan: MakePlan, error: Exception
) -> None:
    plan = make_plan(ECHO, n=20, concurrency=1)
    with pytest.raises(type(error)):
        run(plan, FakeGateway(failing(error, only_for="word7")))
    assert len(load_decided(plan.directory)) == 7


def test_a_fault_that_the_endpoint_blames_on_the_request_is_the_pipelines(make_plan: MakePlan) -> None:
    gateway = FakeGateway(failing(PipelineError("too long", kind="context_length")))
    failure = only(run(make_plan(ECHO, n=1), gateway)).failure
    assert failure is not None
    assert (failure.owner, failure.kind) == ("pipeline", "context_length")


def broken_score(case: Case, prediction: Prediction) -> Score:
    raise KeyError("label")


@pytest.mark.parametrize("score", [broken_score, lambda c, p: Score(1.5), lambda c, p: 1.0])
def test_a_score_function_that_breaks_its_contract_stops_the_evaluation(make_plan: MakePlan, score: Any) -> None:
    with pytest.raises(ScorerError, match=r"equal.py: .*case-"):
        run(make_plan(ECHO, score=score))


def test_a_pipeline_that_raises_on_import_is_wrong_use_with_file_and_line(make_plan: MakePlan) -> None:
    with pytest.raises(UsageError, match=r"pipeline.py:2: raises on import: NameError"):
        run(make_plan("x = 1\ny = z\nasync def run(inputs, ctx): ..."))
    with pytest.raises(UsageError, match="must define `async def run"):
        run(make_plan("run = 3"))
    with pytest.raises(UsageError, match="must define `async def run"):
        run(make_plan("async def run(inputs): ..."))


def test_a_directory_never_mixes_two_evaluations(make_plan: MakePlan) -> None:
    run(make_plan(ECHO, n=2))
    with pytest.raises(UsageError, match="holds an evaluation of something else"):
        run(make_plan(ECHO, n=3))


def test_a_finished_evaluation_is_read_back_without_a_worker_or_a_call(make_plan: MakePlan) -> None:
    plan = make_plan(ECHO)
    first = run(plan)
    (plan.variant_dir / "pipeline.py").unlink()
    gateway = FakeGateway()
    assert run(plan, gateway).records == first.records
    assert gateway.requests == []
    assert find_record(plan.directory, "case-1", 0) == first.records[1]
    assert find_record(plan.directory, "case-9", 0) is None


@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("validation", True), ("test", True)])
def test_replies_for_held_out_cases_are_kept_apart(make_plan: MakePlan, split: str, held_out: bool) -> None:
    """Else code on train could find out, by what is in the cache, what was asked on validation."""
    code = """\
        async def run(inputs, ctx):
            await ctx.llm("say", text="the same")
            return await ctx.llm("say", text="the same")
        """
    gateway = FakeGateway()
    run(make_plan(code, split=split, n=2), gateway)
    assert [request.held_out for request in gateway.requests] == [held_out] * 4


def test_a_bug_that_every_case_runs_into_is_raised_once(make_plan: MakePlan) -> None:
    with pytest.raises(ZeroDivisionError):
        run(make_plan(ECHO, n=8), FakeGateway(failing(ZeroDivisionError("a bug"))))
