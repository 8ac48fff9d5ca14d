"""A model endpoint on loopback that answers as a test scripts it, whatever path it is asked on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from fapo.llm.endpoints import Endpoint

Answer = Callable[[web.Request], Awaitable[web.Response]]


def replies(content: str | None = "hello", finish_reason: str = "stop", **changes: Any) -> Answer:
    """A chat completion; `changes` replace parts of its body, None takes one out."""
    message = {"role": "assistant", "content": content}
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": message}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    } | changes
    return json_body({name: value for name, value in body.items() if value is not None})


async def echoes(request: web.Request) -> web.Response:
    """A chat completion whose text is the last message's."""
    body = await request.json()
    return await replies(body["messages"][-1]["content"])(request)


def anthropic_replies(text: str = "hello", stop_reason: str | None = "end_turn", **changes: Any) -> Answer:
    """As `replies`, in the format of Anthropic's Messages API."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    } | changes
    return json_body(body)


def gemini_replies(text: str = "hello", finish_reason: str = "STOP", **changes: Any) -> Answer:
    """As `replies`, in the format of Gemini's generateContent."""
    content = {"role": "model", "parts": [{"text": text}]}
    body = {
        "candidates": [{"content": content, "finishReason": finish_reason, "index": 0}],
        "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r1",
    } | changes
    return json_body({name: value for name, value in body.items() if value is not None})


def cohere_replies(text: str = "hello") -> Answer:
    """As `replies`, in the format of Cohere's chat API v2."""
    tokens = {"input_tokens": 1000, "output_tokens": 100}
    message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
    usage = {"billed_units": tokens, "tokens": tokens}
    return json_body({"id": "1", "finish_reason": "COMPLETE", "message": message, "usage": usage})


def ollama_replies(text: str = "hello") -> Answer:
    """As `replies`, in the formats of Ollama's /api/chat and /api/generate."""
    message = {"role": "assistant", "content": text}
    return json_body({"model": "llama3", "created_at": "2025-01-01T00:00:00Z", "message": message, "response": text,
                      "done": True, "done_reason": "stop", "prompt_eval_count": 1000, "eval_count": 100})  # fmt: skip


def bedrock_replies(text: str = "hello") -> Answer:
    """As `replies`, in the format of Bedrock's Converse API."""
    message = {"role": "assistant", "content": [{"text": text}]}
    usage = {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100}
    return json_body(
        {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}}
    )


def json_body(body: Any, status: int = 200, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=named)

    return answer


def fails(status: int, message: str = "no", code: str = "some_code", **headers: str) -> Answer:
    return json_body({"error": {"message": message, "type": "some_type", "code": code}}, status, **headers)


def says(text: str, content_type: str = "application/json", status: int = 200) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=content_type, status=status)

    return answer


async def hangs_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def never_answers(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@dataclass(frozen=True)
class Received:
    """One request as it arrived. Names of headers are in lower case; `body` is parsed JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class ModelServer:
    """Gives the scripted answers in turn, and the last one from then on."""

    answers: list[Answer]
    port: int = 0
    received: list[Received] = field(default_factory=list)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = json.loads(await request.read() or b"null")
        self.received.append(Received(request.method, request.path_qs, headers, body))
        self.arrived.release()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    @property
    def bodies(self) -> list[Any]:
        return [request.body for request in self.received]

    def endpoint(self, model: str = "openai/gpt-4o-mini", *, free: bool = False) -> Endpoint:
        return Endpoint(model, f"http://127.0.0.1:{self.port}/v1", "a-key", identity=model, free=free)


@asynccontextmanager
async def model_server(*answers: Answer) -> AsyncIterator[ModelServer]:
    server = ModelServer(list(answers))
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
