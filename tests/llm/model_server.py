"""An OpenAI-compatible endpoint on loopback that answers as a test scripts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
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


@dataclass
class ModelServer:
    """Gives the scripted answers in turn, and the last one from then on."""

    answers: list[Answer]
    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    authorization: list[str] = field(default_factory=list)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.authorization.append(request.headers.get("Authorization", ""))
        self.arrived.release()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    def endpoint(self, model: str = "openai/gpt-4o-mini", *, free: bool = False) -> Endpoint:
        return Endpoint(model, f"http://127.0.0.1:{self.port}/v1", "a-key", identity=model, free=free)


@asynccontextmanager
async def model_server(*answers: Answer) -> AsyncIterator[ModelServer]:
    server = ModelServer(list(answers))
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
