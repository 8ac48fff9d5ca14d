"""A case that exceeds a limit fails by itself; the cases beside it, in the same worker, are scored."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable
from typing import Any, cast

import pytest

from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Observer, evaluate
from fapo.llm.gateway import Gateway
from tests.support.evaluations import FakeGateway, Watcher

MakePlan = Callable[..., EvaluationPlan]
SPEC = (
    "name: p\nbenchmark: b\nmodels: {task: fake}\nlimits: {timeout_s: 2, llm_calls: 3, memory_mb: 512}\n"
    "params: {big: 1000000000}\n"
)
CODE = """\
import asyncio, ctypes, os, re, signal, sys, threading, time

async def excess(ctx):
{body}

async def run(inputs, ctx):
    if inputs["text"] == "word3":
        await excess(ctx)
    return await ctx.llm("say", text=inputs["text"])
"""
SYNC_CODE = """\
import os, time

def run(inputs, ctx):
    if inputs["text"] == "word3":
        {body}
    return inputs["text"].upper()
"""

EXCESSES: dict[str, tuple[str, set[str]]] = {
    "waits": ("await asyncio.sleep(3600)", {"timeout"}),
    "spins": ("while True: pass", {"timeout"}),
    "blocks in C": ("time.sleep(3600)", {"timeout"}),
    "a catastrophic expression": ("re.match(r'(a+)+$', 'a' * 40 + 'b')", {"timeout"}),
    "swallows its cancellation": (
        """
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
        """,
        {"timeout"},
    ),
    "allocates too much": ("held = bytearray(ctx.params.big)", {"memory"}),
    "allocates bit by bit": (
        """
        held = []
        while True:
            held.append(bytearray(10_000_000))
        """,
        {"memory"},
    ),
    "asks the model too often": ("for _ in range(10 ** 6): await ctx.llm('say', text='x')", {"limit"}),
    "steps that are too long": (
        """
        for _ in range(10):
            await ctx.call("big", lambda x: None, "x" * 15_000_000 + str(_))
        for _ in range(1000):
            await ctx.call("many", lambda: "y" * 190_000)
            await asyncio.sleep(0)
        """,
        {"limit"},
    ),
    "starts a thousand threads": (
        """
        for _ in range(100_000):
            threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
        """,
        {"raised", "memory", "timeout", "died"},
    ),
    "forks": ("os.fork()", {"raised"}),
    "leaves": ("os._exit(3)", {"died"}),
    "crashes": ("ctypes.string_at(0)", {"died"}),
    "kills itself": ("os.kill(os.getpid(), signal.SIGKILL)", {"died"}),
    "closes the pipe": ("os.closerange(3, 64); await asyncio.sleep(0.1); await ctx.llm('say', text='x')", {"died"}),
    "fills its folder": (
        """
        for n in range(100):
            with open(f"fill{n}", "wb") as file:
                file.write(bytes(50_000_000))
        """,
        {"raised", "limit"},
    ),
    "sends garbage": (
        """
        for fd in range(3, 256):
            try:
                os.write(fd, b"\\xff" * 64)
            except OSError:
                pass
        await asyncio.sleep(3600)
        """,
        {"died"},
    ),
}  # fmt: skip


def run(plan: EvaluationPlan) -> Evaluation:
    return asyncio.run(evaluate(plan, cast(Gateway, FakeGateway()), cast(Observer, Watcher())))


def check(evaluation: Evaluation, kinds: set[str]) -> None:
    failures = {result.case_id: result.failure for result in evaluation.results if result.failure}
    assert failures.keys() == {"case-3"}
    failure = failures["case-3"]
    assert failure.owner == "pipeline"
    assert failure.kind in kinds
    assert evaluation.values == {f"case-{n}": float(n != 3) for n in range(8)}


@pytest.mark.parametrize("name", EXCESSES)
def test_one_excess_is_one_failure(make_plan: MakePlan, name: str) -> None:
    body, kinds = EXCESSES[name]
    code = CODE.replace("{body}", textwrap.indent(textwrap.dedent(body).strip(), "    "))
    spec = SPEC if "timeout" in kinds else SPEC.replace("timeout_s: 2,", "timeout_s: 60,")
    check(run(make_plan(code, n=8, spec=spec)), kinds)


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("name", ["allocates bit by bit", "starts a thousand threads", "forks", "fills its folder"])
def test_resources_are_limited_at_every_level(make_plan: MakePlan, name: str) -> None:
    test_one_excess_is_one_failure(make_plan, name)


@pytest.mark.parametrize(
    ("body", "kinds"),
    [("time.sleep(3600)", {"timeout"}), ("held = bytearray(10 ** 9)", {"memory"}), ("os._exit(1)", {"died"})],
)
def test_the_same_holds_for_synchronous_code(make_plan: MakePlan, body: str, kinds: set[str]) -> None:
    check(run(make_plan(SYNC_CODE.replace("{body}", body), n=8, spec=SPEC)), kinds)


def test_an_output_that_is_too_long_fails_alone(make_plan: MakePlan) -> None:
    code = """\
        async def run(inputs, ctx):
            long = ["x" * 150_000] * 200
            return long if inputs["text"] == "word3" else await ctx.llm("say", text=inputs["text"])
        """
    evaluation = run(make_plan(code, n=8, spec=SPEC))
    record = evaluation.records[3]
    assert record.value == 0.0
    assert len(str(record.prediction)) < 2**20
    assert evaluation.mean == 7 / 8


def test_a_flood_on_standard_output_stops_nothing(make_plan: MakePlan) -> None:
    code = """\
        import sys

        async def run(inputs, ctx):
            sys.stdout.write("x" * 50_000_000)
            sys.stderr.write("y" * 50_000_000)
            return await ctx.llm("say", text=inputs["text"])
        """
    spec: Any = SPEC.replace("timeout_s: 2", "timeout_s: 60")
    assert run(make_plan(code, n=4, spec=spec)).mean == 1.0
