"""Pipeline code that attacks fapo's own process: through the pipe, through the worker it runs in, by what it leaves."""

from __future__ import annotations

import asyncio
import logging
import textwrap
from collections.abc import Callable
from typing import cast

import pytest

from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Observer, evaluate
from fapo.llm.gateway import Gateway
from fapo.llm.requests import check_request, request_key
from fapo.records import ModelReply, ModelRequest
from tests.support.evaluations import FakeGateway, Watcher

MakePlan = Callable[..., EvaluationPlan]
SPEC = "name: p\nbenchmark: b\nmodels: {task: fake}\nlimits: {timeout_s: 5, llm_calls: 3, memory_mb: 512}\n"
PIPE = """\
import asyncio, json, os, select, struct, sys, threading
from fapo.pipeline.tracing import current_case

PIPE = int(sys.argv[1])

def write(data):
    data = memoryview(data)
    while data:
        select.select([], [PIPE], [])
        try:
            data = data[os.write(PIPE, data):]
        except BlockingIOError:
            pass

def frame(body):
    write(struct.pack(">I", len(body)) + body)

def own(**fields):
    frame(json.dumps({"id": current_case.get(), **fields}).encode())

"""
ONE_ATTACKS = (
    PIPE
    + """\
async def attack():
{body}

async def run(inputs, ctx):
    if inputs["text"] == "word3":
        await attack()
    return await ctx.llm("say", text=inputs["text"])
"""
)


class CheckingGateway(FakeGateway):
    """Refuses the requests that the real gateway refuses."""

    async def complete(
        self, request: ModelRequest, purpose: str = "task", *, on_hold: object = None, rank: int = 0
    ) -> ModelReply:
        check_request(request)
        request_key(request, "fake")
        return await super().complete(request, purpose, on_hold=on_hold, rank=rank)


def run(plan: EvaluationPlan) -> Evaluation:
    gateway = cast(Gateway, CheckingGateway())
    evaluation = asyncio.run(evaluate(plan, gateway, cast(Observer, Watcher())))
    again = asyncio.run(evaluate(plan, gateway, cast(Observer, Watcher())))
    assert [record.case_id for record in again.records] == [case.id for case in plan.cases]
    assert again.values == evaluation.values
    return evaluation


def attacked(body: str) -> str:
    return ONE_ATTACKS.replace("{body}", textwrap.indent(textwrap.dedent(body).strip(), "    "))


BREACHES = {
    "a header that announces 4 GiB": r'write(b"\xff\xff\xff\xff" + b"x" * 1000)',
    "deep nesting": 'frame(b"[" * 1_000_000)',
    "deep nesting that closes": """frame(b'{"id": 1, "op": "done", "output": ' + b"[" * 10**5 + b"]" * 10**5 + b"}")""",
    "bytes that are not UTF-8": r"""frame(b'{"op": "done", "id": "\xff\xfe"}')""",
    "bytes of zero": "frame(bytes(100))",
    "an empty frame": 'frame(b"")',
    "a number": 'frame(b"17")',
    "a list": 'frame(b"[]")',
    "null": 'frame(b"null")',
    "an integer of a million digits": """frame(b'{"op": "done", "id": ' + b"9" * 10**6 + b"}")""",
    "no id": """frame(b'{"op": "done", "output": "WORD3", "evidence": []}')""",
    "an id that is a list": """frame(b'{"op": "done", "id": [1], "output": 1, "evidence": []}')""",
    "an id that is an object": """frame(b'{"op": "done", "id": {}, "output": 1, "evidence": []}')""",
    "an unknown op": 'own(op="score", value=1.0)',
    "no op": "own()",
    "an op that is a list": 'own(op=["done"], output="WORD3", evidence=[])',
    "done without an output": 'own(op="done", evidence=[])',
    "done without evidence": 'own(op="done", output="WORD3")',
    "evidence that is a number": 'own(op="done", output="WORD3", evidence=3)',
    "a failure without a message": 'own(op="failed", kind="raised")',
    "a step without anything": 'own(op="step")',
    "a step that began at a word": (
        'own(op="step", step="s", inputs=1, output=1, start="soon", duration_s=1, error=None)'
    ),
    "a step that began at a list": 'own(op="step", step="s", inputs=1, output=1, start=[], duration_s=1, error=None)',
    "a step that began never": (
        'own(op="step", step="s", inputs=1, output=1, start=float("nan"), duration_s=1, error=None)'
    ),
    "a step without end": (
        'own(op="step", step="s", inputs=1, output=1, start=1, duration_s=float("inf"), error=None)'
    ),
    "a call that is nested deeply": (
        'frame(json.dumps({"id": current_case.get(), "op": "llm", "call": 7, "step": "s", "role": "task", "messages": '
        '[]})[:-1].encode() + b\', "sampling": \' + b"[" * 800 + b"]" * 800 + b"}")'
    ),
    "a call without a number": 'own(op="llm", step="s", role="task", messages=[], sampling={})',
}  # fmt: skip


@pytest.mark.parametrize("name", BREACHES)
def test_what_is_no_frame_ends_the_worker_and_fails_the_case_alone(
    make_plan: MakePlan, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    body = BREACHES[name] + "\nawait asyncio.sleep(3600)"
    evaluation = run(make_plan(attacked(body), n=6, spec=SPEC))
    failures = {result.case_id: result.failure for result in evaluation.results if result.failure}
    assert failures.keys() == {"case-3"}
    assert (failures["case-3"].owner, failures["case-3"].kind) == ("pipeline", "died")
    assert failures["case-3"].message.startswith("the worker broke the protocol: ")
    assert evaluation.values == {f"case-{n}": float(n != 3) for n in range(6)}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


CALLS = {
    "nothing but a number": "{}",
    "no messages": '{"step": "s", "role": "task", "sampling": {}}',
    "messages that are a number": '{"step": "s", "role": "task", "sampling": {}, "messages": 3}',
    "messages that are words": '{"step": "s", "role": "task", "sampling": {}, "messages": "abc"}',
    "messages that are lists": '{"step": "s", "role": "task", "sampling": {}, "messages": [[1]]}',
    "no parameters": '{"step": "s", "role": "task", "messages": [{"role": "user", "content": "x"}]}',
    "parameters that are a list": '{"step": "s", "role": "task", "sampling": [1], "messages": []}',
    "texts that are a number": '{"step": "s", "role": "task", "sampling": {}, "texts": 3}',
    "texts that are lists": '{"step": "s", "role": "task", "sampling": {}, "texts": [[]]}',
    "a role that is a list": '{"step": "s", "role": ["task"], "sampling": {}, "messages": []}',
    "a parameter that names another endpoint": (
        '{"step": "s", "role": "task", "sampling": {"api_base": "http://x"}, "messages": '
        '[{"role": "user", "content": "x"}]}'
    ),
}  # fmt: skip
ASKS = """
fields = json.dumps({"op": "llm", "id": current_case.get(), "call": 10**6})[:-1]
rest = <call>
frame((fields + (", " if rest != "{}" else "") + rest[1:]).encode())
os.set_blocking(PIPE, True)
reply = os.read(PIPE, 100_000)
raise RuntimeError("refused" if b"kind" in reply else repr(reply))
"""


@pytest.mark.parametrize("name", CALLS)
def test_a_model_call_that_cannot_be_made_is_refused_in_the_worker(
    make_plan: MakePlan, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    code = attacked(ASKS.replace("<call>", repr(CALLS[name])))
    evaluation = run(make_plan(code, n=4, spec=SPEC, concurrency=1))
    failures = {result.case_id: result.failure for result in evaluation.results if result.failure}
    assert failures.keys() == {"case-3"}
    assert failures["case-3"].message.startswith("RuntimeError: refused")
    assert evaluation.values == {"case-0": 1.0, "case-1": 1.0, "case-2": 1.0, "case-3": 0.0}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


OUTPUTS = {
    **{f"{depth} lists": "[" * depth + "]" * depth for depth in (100, 190, 198, 220, 253, 300, 900)},
    "200 objects": '{"a":' * 200 + "1" + "}" * 200,
    "no number": "NaN",
    "more than a float": "1e999",
    "an integer of 4,000 digits": "9" * 4000,
    "half a character": r'"\ud800"',
    "a NUL": r'"\u0000"',
    "names of Python": '{"__class__": "Score", "__reduce__": ["os.system", ["id"]], "score": 1.0}',
    "the same key twice": '{"a": 1, "a": 2}',
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_odd_output_is_a_wrong_answer_or_a_failure_and_the_record_can_be_read(
    make_plan: MakePlan, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    body = f"""
        rest = {OUTPUTS[name]!r}
        frame(b'{{"op": "done", "evidence": [], "id": %d, "output": ' % current_case.get() + rest.encode() + b"}}")
        """
    evaluation = run(make_plan(attacked(body), n=4, spec=SPEC))
    assert evaluation.values == {"case-0": 1.0, "case-1": 1.0, "case-2": 1.0, "case-3": 0.0}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


STEPS = {
    **{f"{depth} lists": "[" * depth + "]" * depth for depth in (190, 198, 220, 253, 300)},
    "half a character": r'"\ud800"',
    "no number": "NaN",
    "an integer of 4,000 digits": "9" * 4000,
}


@pytest.mark.parametrize("name", STEPS)
def test_an_odd_step_leaves_a_record_that_can_be_read(
    make_plan: MakePlan, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    body = f"""
        rest = b', "step": "s", "output": 1, "start": 1, "duration_s": 1, "error": null, "inputs": '
        rest += {STEPS[name].encode()!r} + b"}}"
        frame(b'{{"op": "step", "id": %d' % current_case.get() + rest)
        """
    evaluation = run(make_plan(attacked(body), n=4, spec=SPEC))
    kinds = {result.failure.kind for result in evaluation.results if result.failure}
    assert kinds <= {"invalid_output", "died"}
    assert [evaluation.values[f"case-{n}"] for n in range(3)] == [1.0, 1.0, 1.0]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
