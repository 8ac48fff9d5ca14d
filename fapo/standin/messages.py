"""An Anthropic-compatible Messages endpoint for a model that is a function.

It answers `POST /v1/messages`, streamed (server-sent events) or whole, and `POST /v1/messages/count_tokens`, in
the shapes of https://docs.claude.com/en/api/messages. Tokens are estimated, at four characters each.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web

Block = dict[str, Any]
Decide = Callable[[str, list[Block]], list[Block]]

CHARACTERS_PER_TOKEN = 4
LARGEST_REQUEST = 64 * 1024 * 1024


def add_messages_routes(app: web.Application, decide: Decide) -> None:
    """Serve the endpoint from `app`, whose `client_max_size` should allow for LARGEST_REQUEST bytes.

    `decide(system, messages)` returns the reply's content blocks: `{"type": "text", "text"}` or `{"type":
    "tool_use", "name", "input"}`. It is asked for every request, retries and compactions too, so it has to decide
    by what it is sent. `system` is joined to one text.
    """

    async def create(request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        if body is None:
            return _bad_request("expected a JSON object with `model` and `messages`")
        message = _message(body, decide(_text(body.get("system")), body["messages"]))
        return await _stream(request, message) if body.get("stream") else web.json_response(message)

    async def count_tokens(request: web.Request) -> web.Response:
        body = await _body(request)
        if body is None:
            return _bad_request("expected a JSON object with `model` and `messages`")
        return web.json_response({"input_tokens": _input_tokens(body)})

    app.router.add_post("/v1/messages", create)
    app.router.add_post("/v1/messages/count_tokens", count_tokens)


async def _body(request: web.Request) -> dict[str, Any] | None:
    try:
        body = await request.json()
    except ValueError:
        return None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return None
    return body if isinstance(body.get("messages"), list) else None


def _bad_request(message: str) -> web.Response:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    return web.json_response(error, status=400)


def _text(system: Any) -> str:
    if isinstance(system, list):
        return "\n\n".join(str(block.get("text", "")) for block in system if isinstance(block, dict))
    return str(system or "")


def _tokens(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False)) // CHARACTERS_PER_TOKEN + 1


def _input_tokens(body: dict[str, Any]) -> int:
    return _tokens([body.get("system"), body.get("tools"), body["messages"]])


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


def _message(body: dict[str, Any], blocks: list[Block]) -> dict[str, Any]:
    content = [{"id": _id("toolu"), **block} if block["type"] == "tool_use" else block for block in blocks]
    return {
        "id": _id("msg"),
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": _input_tokens(body),
            "output_tokens": _tokens(content),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


async def _stream(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    for event in _events(message):
        await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    await response.write_eof()
    return response


def _events(message: dict[str, Any]) -> list[dict[str, Any]]:
    usage = message["usage"]
    opened = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": opened}]
    for index, block in enumerate(message["content"]):
        if block["type"] == "tool_use":
            start = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        else:
            start = {**block, "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": usage["output_tokens"]}})
    events.append({"type": "message_stop"})
    return events
