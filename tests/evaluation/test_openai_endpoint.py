"""Code with an OpenAI client of its own, through the real worker: traced, counted, and told apart by case and step."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from fapo.errors import PipelineError, ProviderError
from fapo.evaluation.evaluate import Evaluation, EvaluationPlan, Observer, evaluate
from fapo.llm.gateway import Gateway
from fapo.llm.requests import check_request
from fapo.records import CaseRecord, ModelReply, ModelRequest
from tests.support.evaluations import FakeGateway, Watcher

pytestmark = pytest.mark.needs_level("full")

MakePlan = Callable[..., EvaluationPlan]
SPEC = (
    "name: p\nbenchmark: b\nmodels: {task: openai/gpt-4.1-mini, embed: openai/text-embedding-3-small}\n"
    "openai_endpoint: true\nlimits: {timeout_s: 60, llm_calls: 8}\n"
)
WEATHER = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


def answer(request: ModelRequest) -> ModelReply:
    """Upper-cases the last message; calls the first tool that is offered, once; embeds by length."""
    check_request(request)
    if request.texts:
        vectors = tuple((float(len(text)), 0.5) for text in request.texts)
        return ModelReply("", request.model, None, 3, 0, 0.0, 0.01, embeddings=vectors)
    last = request.messages[-1]
    calls = (WEATHER,) if "tools" in request.params and last["role"] == "user" else ()
    text = "" if calls else str(last["content"]).upper() + "!" * request.occurrence
    return ModelReply(text, request.model, "stop", 10, 5, 0.001, 0.01, tool_calls=calls)


class ScriptedGateway(FakeGateway):
    async def complete(self, request: ModelRequest, *_: Any, **__: Any) -> ModelReply:
        self.requests.append(request)
        return answer(request)


class FailingGateway(FakeGateway):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def complete(self, request: ModelRequest, *_: Any, **__: Any) -> ModelReply:
        self.requests.append(request)
        raise self.error


def run(plan: EvaluationPlan, gateway: Any = None) -> Evaluation:
    return asyncio.run(evaluate(plan, cast(Gateway, gateway or ScriptedGateway()), cast(Observer, Watcher())))


def steps(record: CaseRecord) -> list[str]:
    return [step.name for step in record.steps]


SYNC = """\
    import fapo
    from openai import OpenAI

    client = OpenAI()

    def ask(text, **more):
        messages = [{"role": "system", "content": "be loud"}, {"role": "user", "content": text}]
        return client.chat.completions.create(model="task", messages=messages, temperature=0, **more)

    def run(inputs, ctx):
        with fapo.step("shout"):
            first = ask(inputs["text"]).choices[0].message.content
        ask("named", extra_headers={"X-Fapo-Step": "by header"})
        return ask(first).choices[0].message.content
    """


def test_a_synchronous_client_is_traced_counted_and_told_apart_among_many_cases(make_plan: MakePlan) -> None:
    gateway = ScriptedGateway()
    evaluation = run(make_plan(SYNC, n=40, spec=SPEC, concurrency=16), gateway)
    assert evaluation.mean == 1.0
    assert {tuple(steps(record)) for record in evaluation.records} == {("shout", "by header", "call_1")}
    record = evaluation.records[7]
    assert record.steps[0].inputs["messages"][1] == {"role": "user", "content": "word7"}
    assert record.steps[0].model == "openai/gpt-4.1-mini"
    assert evaluation.usage.llm_calls == len(gateway.requests) == 120
    assert gateway.requests[0].params == {"temperature": 0}


ASYNC = """\
    import asyncio, concurrent.futures, threading
    import litellm
    from openai import AsyncOpenAI, OpenAI
    import fapo

    client, blocking = AsyncOpenAI(), OpenAI()

    def in_thread(text):
        with fapo.step("thread"):
            message = [{"role": "user", "content": text}]
            return blocking.chat.completions.create(model="gpt-4.1-mini", messages=message).choices[0].message.content

    async def by_litellm(text):
        with fapo.step("litellm"):
            reply = await litellm.acompletion(model="openai/task", messages=[{"role": "user", "content": text}])
            return reply.choices[0].message.content

    async def streamed(text):
        with fapo.step("stream"):
            stream = await client.chat.completions.create(
                model="openai/gpt-4.1-mini", messages=[{"role": "user", "content": text}], stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
            assert chunks[-1].usage.total_tokens == 15
            return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    async def run(inputs, ctx):
        text = inputs["text"]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            pooled = await asyncio.wrap_future(pool.submit(in_thread, text))
        others = by_litellm(text + "4"), streamed(text + "5"), asyncio.to_thread(in_thread, text + "2")
        results = await asyncio.gather(*others)
        found = []
        worker = threading.Thread(target=lambda: found.append(in_thread(text + "3")))
        worker.start()
        while worker.is_alive():
            await asyncio.sleep(0.01)
        loud = text.upper()
        return pooled if [*results, *found] == [loud + "4", loud + "5", loud + "2", loud + "3"] else str(results)
    """


def test_async_code_threads_litellm_and_streams_work_as_they_are(make_plan: MakePlan) -> None:
    evaluation = run(make_plan(ASYNC, n=12, spec=SPEC))
    assert not [record.failure for record in evaluation.records if record.failure]
    assert evaluation.mean == 1.0
    for record in evaluation.records:
        assert Counter(steps(record)) == {"thread": 3, "litellm": 1, "stream": 1}
        texts = {step.inputs["messages"][0]["content"].rstrip("2345") for step in record.steps}
        assert texts == {f"word{record.case_id.removeprefix('case-')}".rstrip("2345")}


RICH = """\
    import json
    from openai import OpenAI
    from pydantic import BaseModel

    client = OpenAI()
    TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]

    def tools(text):
        messages = [{"role": "user", "content": text}]
        made = client.chat.completions.create(model="task", messages=messages, tools=TOOLS).choices[0]
        assert made.finish_reason == "tool_calls" and made.message.content is None
        call = made.message.tool_calls[0]
        assert json.loads(call.function.arguments) == {"city": "Oslo"}
        messages += [made.message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
        return client.chat.completions.create(model="task", messages=messages, tools=TOOLS).choices[0].message.content

    def several(text):
        made = client.chat.completions.create(model="task", messages=[{"role": "user", "content": text}], n=3)
        return sorted(choice.message.content for choice in made.choices)

    def embeddings():
        as_floats = client.embeddings.create(model="embed", input=["four", "sixsix"], encoding_format="float")
        by_default = client.embeddings.create(model="text-embedding-3-small", input="four")
        return [item.embedding for item in as_floats.data], by_default.data[0].embedding

    def responses():
        made = client.responses.create(model="task", instructions="be loud", input="hello")
        tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
        called = client.responses.create(model="task", input=[{"role": "user", "content": "?"}], tools=[tool])
        call = called.output[0]
        items = [call, {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}]
        return made.output_text, call.name, client.responses.create(model="task", input=items).output_text

    def run(inputs, ctx):
        names = [model.id for model in client.models.list()]
        return [tools("weather?"), several("x"), embeddings(), responses(), names]
    """


def test_tools_samples_embeddings_and_responses_come_back_as_the_sdk_wants_them(make_plan: MakePlan) -> None:
    spec = SPEC.replace("llm_calls: 8", "llm_calls: 20")
    record = run(make_plan(RICH, n=1, spec=spec)).records[0]
    assert record.failure is None
    assert record.prediction is not None
    assert record.prediction.output == [
        "RAIN",
        ["X", "X!", "X!!"],
        [[[4.0, 0.5], [6.0, 0.5]], [4.0, 0.5]],
        ["HELLO", "weather", "SUN"],
        ["openai/gpt-4.1-mini", "openai/text-embedding-3-small"],
    ]
    assert record.steps[0].output == {"text": "", "tool_calls": [WEATHER]}


STREAMED = """\
    from langchain_openai import ChatOpenAI
    from openai import OpenAI

    client = OpenAI()
    TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}

    def run(inputs, ctx):
        with client.responses.create(model="task", input="hello", stream=True) as stream:
            types = [event.type for event in stream]
        with client.responses.stream(model="task", input="hello") as stream:
            deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            whole = stream.get_final_response()
        with client.responses.stream(model="task", input="?", tools=[TOOL]) as stream:
            call = stream.get_final_response().output[0]
        model = ChatOpenAI(model="task", use_responses_api=True)
        chain = "".join(chunk.text for chunk in model.stream("from a chain"))
        return [types, deltas, whole.output_text, whole.usage.total_tokens, call.name, call.arguments, chain]
    """


def test_responses_are_streamed_as_the_sdk_and_langchain_want_them(make_plan: MakePlan) -> None:
    (record,) = run(make_plan(STREAMED, n=1, spec=SPEC)).records
    assert record.failure is None
    assert record.prediction is not None
    types, *rest = record.prediction.output
    item = ["output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
            "output_item.done"]  # fmt: skip
    assert types == [f"response.{name}" for name in ("created", "in_progress", *item, "completed")]
    assert rest == ["HELLO!", "HELLO!", 15, "weather", '{"city": "Oslo"}', "FROM A CHAIN"]


FAULTS = """\
    import openai
    client = openai.OpenAI()

    def run(inputs, ctx):
        try:
            client.chat.completions.create({arguments})
        except openai.APIStatusError as error:
            return [type(error).__name__, error.code]
        return "no error"
    """
HELLO = "messages=[{'role': 'user', 'content': 'x'}]"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (f"model='gpt-9', {HELLO}", ["NotFoundError", "model_not_found"]),
        (f"model='task', {HELLO}, logprobs=True", ["BadRequestError", "invalid_request"]),
        (f"model='task', {HELLO}, extra_body={{'api_base': 'http://x'}}", ["BadRequestError", "invalid_request"]),
        ("model='task', messages=[]", ["BadRequestError", "invalid_request"]),
        (
            "model='task', messages=[{'role': 'user', 'content': [{'type': 'image_url', "
            "'image_url': {'url': 'http://attacker.example'}}]}]",
            ["BadRequestError", "bad_request"],
        ),
    ],
)
def test_what_cannot_be_passed_on_is_an_error_of_the_sdk(make_plan: MakePlan, arguments: str, error: Any) -> None:
    plan = make_plan(FAULTS.replace("{arguments}", arguments), n=1, spec=SPEC)
    prediction = run(plan).records[0].prediction
    assert prediction is not None
    assert prediction.output == error


@pytest.mark.parametrize(("kind", "code"), [("context_length", "context_length_exceeded"), ("limit", "limit")])
def test_a_refusal_of_the_gateway_is_not_tried_again_by_the_sdk(make_plan: MakePlan, kind: str, code: str) -> None:
    gateway = FailingGateway(PipelineError("too much", kind=kind))
    plan = make_plan(FAULTS.replace("{arguments}", f"model='task', {HELLO}"), n=1, spec=SPEC)
    prediction = run(plan, gateway).records[0].prediction
    assert prediction is not None
    assert prediction.output == ["BadRequestError", code]
    assert len(gateway.requests) == 1


def test_a_provider_that_fails_leaves_the_case_undecided_whatever_the_code_does(make_plan: MakePlan) -> None:
    plan = make_plan(SYNC, n=3, spec=SPEC)
    evaluation = run(plan, FailingGateway(ProviderError("down")))
    assert len(evaluation.failed("provider")) == 3
    assert evaluation.values == {}


def test_a_call_of_nobody_in_particular_is_refused_among_several_cases(make_plan: MakePlan) -> None:
    code = """\
        import asyncio, http.client, json, os, urllib.parse

        waiting = []

        def ask():
            base = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
            connection = http.client.HTTPConnection(base.hostname, base.port)
            headers = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
            body = {"model": "task", "messages": [{"role": "user", "content": "x"}]}
            connection.request("POST", base.path + "/chat/completions", json.dumps(body), headers)
            return connection.getresponse().status

        async def run(inputs, ctx):
            waiting.append(inputs)
            while len(waiting) < 2:
                await asyncio.sleep(0.01)
            status = await asyncio.to_thread(ask)
            waiting.append(status)
            while len(waiting) < 4:
                await asyncio.sleep(0.01)
            return status
        """
    records = run(make_plan(code, n=2, spec=SPEC)).records
    assert [record.prediction and record.prediction.output for record in records] == [400, 400]


ESCAPES = """\
    import os, socket, urllib.request

    def tries():
        yield "key", [v for v in os.environ.values() if "sk-canary" in v]
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                s = socket.socket(socket.AF_INET, kind)
                s.settimeout(1)
                s.connect(("127.0.0.1", {port}))
                s.send(b"x")
                yield "sent", kind == socket.SOCK_STREAM
            except OSError:
                pass
        try:
            socket.socket(socket.AF_UNIX).connect({unix!r})
            yield "unix", True
        except OSError:
            pass
        base = os.environ["OPENAI_BASE_URL"]
        try:
            urllib.request.urlopen(urllib.request.Request(base + "/models", headers={{"Authorization": "Bearer no"}}))
            yield "without the token", True
        except OSError:
            pass

    def run(inputs, ctx):
        return [name for name, found in tries() if found]
    """


def test_the_network_that_the_endpoint_needs_leads_nowhere_else(
    make_plan: MakePlan, tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-in-the-parent")
    code = ESCAPES.format(port=listener, unix=str(tmp_path / "socket"))
    prediction = run(make_plan(code, n=1, spec=SPEC)).records[0].prediction
    assert prediction is not None
    assert prediction.output == []
