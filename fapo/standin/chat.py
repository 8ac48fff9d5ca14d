"""An OpenAI-compatible chat endpoint in front of the lexical reader, with faults on demand for tests."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from fapo.standin.judge import judge
from fapo.standin.reader import Reply, read
from fapo.standin.reader_prompt import content_of
from fapo.standin.reflector import reflect

MODEL = "standin-reader"
STRONG_MODEL = "standin-teacher"
REFLECTOR = "standin-reflector"
JUDGE = "standin-judge"
FAULTS = ("429", "500", "drop", "malformed", "stall")
_CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which share of calls goes wrong, and how. The calls are drawn with a seed."""

    rate: float = 0.0
    kinds: tuple[str, ...] = ("429", "500", "drop", "malformed")
    seed: int = 0


def add_chat_routes(app: web.Application, faults: FaultPlan) -> None:
    """Serve POST /v1/chat/completions and GET /v1/models."""
    rng = random.Random(faults.seed)  # noqa: S311 - draws faults, not secrets

    async def complete(request: web.Request) -> web.StreamResponse:
        fault = request.headers.get("x-standin-fault")
        if fault is None and faults.rate and rng.random() < faults.rate:
            fault = rng.choice(faults.kinds)
        if fault is not None:
            return await _misbehave(request, fault)
        try:
            asked = _parse(await request.read())
        except ValueError as error:
            return _error(400, str(error), "invalid_request_error")
        reply = _reply(asked)
        if asked.stream:
            return await _stream(request, asked, reply)
        return web.json_response(_completion(asked, reply))

    async def models(_: web.Request) -> web.Response:
        known = [
            {"id": name, "object": "model", "owned_by": "fapo"} for name in (MODEL, STRONG_MODEL, REFLECTOR, JUDGE)
        ]
        return web.json_response({"object": "list", "data": known})

    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", models)


@dataclass(frozen=True, slots=True)
class _Asked:
    model: str
    messages: Sequence[Mapping[str, Any]]
    temperature: float
    seed: int | None
    max_tokens: int | None
    stream: bool
    stream_usage: bool
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: Any = None


def _parse(body: bytes) -> _Asked:
    """Raises ValueError with a sentence for the caller."""
    try:
        raw = json.loads(body)
    except ValueError:
        raise ValueError("the body is not JSON") from None
    messages = raw.get("messages") if isinstance(raw, dict) else None
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise ValueError("`messages` must be a list of messages that is not empty")
    temperature = raw.get("temperature", 1.0)
    if not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
        raise ValueError("`temperature` must be a number from 0 to 2")
    limit = raw.get("max_completion_tokens") or raw.get("max_tokens")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError("`max_tokens` must be a positive whole number")
    tools = raw.get("tools") or []
    if not isinstance(tools, list) or not all(_is_tool(tool) for tool in tools):
        raise ValueError("`tools` must be a list of functions with a name")
    options = raw.get("stream_options") or {}
    return _Asked(
        model=str(raw.get("model", MODEL)),
        messages=messages,
        temperature=float(temperature),
        seed=raw.get("seed"),
        max_tokens=limit,
        stream=bool(raw.get("stream")),
        stream_usage=bool(options.get("include_usage")),
        tools=tools,
        tool_choice=raw.get("tool_choice"),
    )


def _is_tool(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _reply(asked: _Asked) -> Reply:
    if asked.model == REFLECTOR:
        return Reply(reflect(asked.messages), "stop")
    if asked.model == JUDGE:
        return Reply(judge(asked.messages), "stop")
    return read(asked.messages, temperature=asked.temperature, seed=asked.seed, max_tokens=asked.max_tokens,
                strong=asked.model == STRONG_MODEL, tools=asked.tools, tool_choice=asked.tool_choice)  # fmt: skip


def _usage(asked: _Asked, reply: Reply) -> dict[str, int]:
    sent = sum(len(content_of(message)) for message in asked.messages) // _CHARACTERS_A_TOKEN + 4
    written = len(reply.text) + sum(len(call.text) for call in reply.calls)
    made = written // _CHARACTERS_A_TOKEN + 1
    return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}


def _identity(asked: _Asked, reply: Reply) -> dict[str, Any]:
    name = hashlib.sha256(f"{asked.seed}{asked.messages}{reply.text}{reply.calls}".encode()).hexdigest()[:24]
    return {"id": f"chatcmpl-{name}", "created": int(time.time()), "model": asked.model}


def _completion(asked: _Asked, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.calls:
        message = {"role": "assistant", "content": None, "tool_calls": [call.as_message_part() for call in reply.calls]}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    body = {"object": "chat.completion", "choices": [choice], "usage": _usage(asked, reply)}
    return _identity(asked, reply) | body


async def _stream(request: web.Request, asked: _Asked, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    head = _identity(asked, reply) | {"object": "chat.completion.chunk"}

    async def send(delta: dict[str, Any], finish: str | None) -> None:
        chunk = head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())

    await send({"role": "assistant", "content": ""}, None)
    for start in range(0, len(reply.text), 40):
        await send({"content": reply.text[start : start + 40]}, None)
    for number, call in enumerate(reply.calls):
        await send({"tool_calls": [{"index": number, **call.as_message_part()}]}, None)
    await send({}, reply.finish_reason)
    if asked.stream_usage:
        last = head | {"choices": [], "usage": _usage(asked, reply)}
        await response.write(f"data: {json.dumps(last)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _misbehave(request: web.Request, fault: str) -> web.StreamResponse:
    match fault:
        case "429":
            return _error(429, "rate limit reached", "rate_limit_error", {"Retry-After": "0.05"})
        case "500":
            return _error(500, "the server had an error", "server_error")
        case "malformed":
            return web.Response(text='{"choices": [{"message": {"con', content_type="application/json")
        case "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        case "stall":
            await asyncio.Event().wait()
    return _error(400, f"unknown fault: use one of {', '.join(FAULTS)}", "invalid_request_error")


def _error(status: int, message: str, kind: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return web.json_response(body, status=status, headers=headers)
