"""As many workers as the work needs; one that dies is replaced; nothing stays of one evaluation for the next."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import psutil
import pytest

from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Observer, evaluate
from fapo.evaluation.process import WorkerProcess
from fapo.llm.gateway import Gateway
from fapo.records import Case, Prediction, Score
from fapo.sandbox.policy import Level
from fapo.sandbox.probe import CONFINING
from tests.support.evaluations import FakeGateway, Watcher

MakePlan = Callable[..., EvaluationPlan]
CORES = len(os.sched_getaffinity(0))
TOKEN = """\
import os

from fapo import Prediction

TOKEN = os.urandom(8).hex()
"""
COMPUTES = (
    TOKEN
    + """\

def run(inputs, ctx):
    total = 0
    for number in range(1_000_000):
        total ^= number * number
    return Prediction(inputs["text"].upper(), (TOKEN,))
"""
)
ASKS = (
    TOKEN
    + """\

async def run(inputs, ctx):
    return Prediction(await ctx.llm("say", text=inputs["text"]), (TOKEN,))
"""
)


async def go(plan: EvaluationPlan, gateway: FakeGateway | None = None) -> Evaluation:
    return await evaluate(plan, cast(Gateway, gateway or FakeGateway()), cast(Observer, Watcher()))


def workers(evaluation: Evaluation) -> int:
    return len({record.prediction.evidence for record in evaluation.read_records() if record.prediction})


def test_code_that_computes_is_spread_over_the_cores(make_plan: MakePlan) -> None:
    evaluation = asyncio.run(go(make_plan(COMPUTES, n=200)))  # enough that a busy moment of the machine passes
    assert evaluation.mean == 1.0
    assert min(CORES, 2) <= workers(evaluation) <= CORES


def test_code_that_waits_for_models_has_one_worker(make_plan: MakePlan) -> None:
    assert workers(asyncio.run(go(make_plan(ASKS, n=300)))) == 1


def test_those_that_were_with_a_case_that_ends_the_worker_run_once_more(make_plan: MakePlan) -> None:
    code = """\
        import os

        async def run(inputs, ctx):
            reply = await ctx.llm("say", text=inputs["text"])
            if inputs["text"] in ("word3", "word17"):
                os._exit(1)
            return reply
        """
    gateway = FakeGateway()
    evaluation = asyncio.run(go(make_plan(code, n=40), gateway))
    assert evaluation.values == {f"case-{n}": float(n not in (3, 17)) for n in range(40)}
    kinds = {result.case_id: result.failure.kind for result in evaluation.results if result.failure}
    assert kinds == {"case-3": "died", "case-17": "died"}
    asked = Counter(request.messages[-1]["content"] for request in gateway.requests)
    assert set(asked) == {f"word{n}" for n in range(40)}
    assert max(asked.values()) <= 2


def test_evaluations_side_by_side_do_not_mix(make_plan: MakePlan, tmp_path: Path) -> None:
    one = make_plan(ASKS, n=50, directory=tmp_path / "one")
    other = replace(one, directory=tmp_path / "other")

    async def both() -> tuple[Evaluation, Evaluation]:
        return await asyncio.gather(go(one), go(other, FakeGateway(lambda _: "WORD7")))

    first, second = asyncio.run(both())
    assert first.mean == 1.0
    assert second.values == {f"case-{n}": float(n == 7) for n in range(50)}


@pytest.mark.parametrize("level", CONFINING)
def test_an_evaluation_that_is_cancelled_leaves_no_process(make_plan: MakePlan, level: Level) -> None:
    plan = make_plan("import time\n\ndef run(inputs, ctx):\n    time.sleep(3600)\n", n=2)

    async def cancelled() -> list[psutil.Process]:
        worker = await WorkerProcess.start(plan.variant_dir, plan.spec, level)
        started = psutil.Process(worker.pid)
        processes = [started, *started.children(recursive=True)]

        class Handler:
            held_s = 0.0

            async def call_model(self, message: dict[str, object]) -> dict[str, object]:
                raise AssertionError

            def record_step(self, message: dict[str, object]) -> None:
                raise AssertionError

        case = asyncio.create_task(worker.run_case({"text": "x"}, Handler(), timeout_s=3600))
        await asyncio.sleep(0)
        case.cancel()
        await asyncio.gather(case, return_exceptions=True)
        await worker.close()
        return processes

    _, alive = psutil.wait_procs(asyncio.run(cancelled()), timeout=10)
    assert alive == []


HIDES = """\
import builtins, os, pathlib, socket, sys

def places():
    return [pathlib.Path(place) for place in (
        ".", "/tmp", "/var/tmp", "/dev/shm", os.environ["HOME"], os.environ["TMPDIR"], os.path.dirname(__file__),
        os.path.dirname(os.__file__), os.path.join(os.path.dirname(__file__), "__pycache__"))]

def hide(text):
    builtins.SECRET = sys.SECRET = os.environ["SECRET"] = text
    for place in places():
        try:
            (place / "fapo-secret").write_text(text)
        except OSError:
            pass

def find():
    found = [str(getattr(builtins, "SECRET", "")), str(getattr(sys, "SECRET", "")), os.environ.get("SECRET", "")]
    for place in places():
        try:
            found.append((place / "fapo-secret").read_text())
        except OSError:
            pass
    return sorted(set(found) - {""})

async def run(inputs, ctx):
    found = find()
    hide(inputs["text"])
    return {"found": found, "word": inputs["text"]}
"""


@pytest.mark.parametrize("level", CONFINING)
def test_nothing_that_a_variant_keeps_is_found_by_the_next(
    make_plan: MakePlan, tmp_path: Path, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one evaluation cases share a process, and this attack shows that it works there."""
    monkeypatch.setattr("fapo.evaluation.evaluate.choose_level", lambda _: _Chosen(level))

    def found(case: Case, prediction: Prediction) -> Score:
        return Score(float(bool(prediction.output["found"])))

    plan = make_plan(HIDES, n=5, score=found, concurrency=1, directory=tmp_path / "first")
    first = asyncio.run(go(plan))
    assert [result.value for result in first.results] == [0.0, 1.0, 1.0, 1.0, 1.0]
    second = asyncio.run(go(replace(plan, directory=tmp_path / "second", cases=plan.cases[:1])))
    assert [result.value for result in second.results] == [0.0]
    assert second.isolation == level


class _Chosen:
    def __init__(self, level: Level) -> None:
        self.level = level
