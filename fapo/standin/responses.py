"""An OpenAI-compatible Responses endpoint for a model that speaks in the blocks of the Messages API.

It answers `POST /responses`, streamed, for a client whose tools are an MCP server's
(https://platform.openai.com/docs/api-reference/responses). Tokens are estimated, at four characters each.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from aiohttp import web

from fapo.standin.conversation import MCP_PREFIX
from fapo.standin.messages import CHARACTERS_PER_TOKEN, Block, Decide

_NAMESPACE = MCP_PREFIX.removesuffix("__")
_FILE_TOOLS = frozenset({"Read", "Edit", "Write", "Glob", "Grep"})
_TIMING = "Wall time:"
_FAILED = "error: "


def add_responses_routes(app: web.Application, decide: Decide) -> None:
    """Serve the endpoint from `app`; `decide` as for `add_messages_routes`."""

    async def create(request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
            given = body["input"]
            system, messages = _conversation(given if isinstance(given, list) else [])
        except (ValueError, KeyError, TypeError, AttributeError):
            error = {"error": {"type": "invalid_request_error", "message": "expected a JSON object with `input`"}}
            return web.json_response(error, status=400)
        items = [_item(block) for block in decide(system, messages)]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        for event in _events(items, _usage(given, items)):
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        await response.write_eof()
        return response

    app.router.add_post("/responses", create)


def _conversation(items: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The items of a request as a system text and messages."""
    system: list[str] = []
    messages: list[dict[str, Any]] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "message" and item.get("role") in ("developer", "system"):
            system.append(_text(item["content"]))
        elif kind == "message":
            _add(messages, item["role"], {"type": "text", "text": _text(item["content"])})
        elif kind == "function_call":
            name = item["name"] if item["name"] in _FILE_TOOLS else MCP_PREFIX + item["name"]
            use = {"type": "tool_use", "id": item["call_id"], "name": name, "input": json.loads(item["arguments"])}
            _add(messages, "assistant", use)
        elif kind == "function_call_output":
            text = _text(item["output"])
            result = {"type": "tool_result", "tool_use_id": item["call_id"], "content": text.removeprefix(_FAILED)}
            _add(messages, "user", {**result, "is_error": text.startswith(_FAILED)})
    return "\n\n".join(system), messages


def _add(messages: list[dict[str, Any]], role: str, block: Block) -> None:
    """What one side says in a row is one message."""
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"].append(block)
    else:
        messages.append({"role": role, "content": [block]})


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = [str(part.get("text", "")) for part in content]
    return "\n".join(text for text in texts if not text.startswith(_TIMING))


def _item(block: Block) -> dict[str, Any]:
    if block["type"] == "tool_use":
        name, call = block["name"], block.get("id") or _id("call")
        called = {"name": name.removeprefix(MCP_PREFIX), "arguments": json.dumps(block["input"])}
        if name in _FILE_TOOLS or name.startswith(MCP_PREFIX):
            called["namespace"] = _NAMESPACE
        return {"type": "function_call", "id": _id("fc"), "call_id": call, **called}
    content = [{"type": "output_text", "text": block["text"], "annotations": []}]
    return {"type": "message", "id": _id("msg"), "role": "assistant", "status": "completed", "content": content}


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


def _usage(given: Any, items: list[dict[str, Any]]) -> dict[str, Any]:
    asked, said = (len(json.dumps(part)) // CHARACTERS_PER_TOKEN + 1 for part in (given, items))
    return {"input_tokens": asked, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": asked + said}  # fmt: skip


def _events(items: list[dict[str, Any]], usage: dict[str, Any]) -> list[dict[str, Any]]:
    opened = {"id": _id("resp"), "object": "response", "status": "in_progress", "output": []}
    done = [
        {"type": "response.output_item.done", "output_index": index, "item": item} for index, item in enumerate(items)
    ]
    closed = {**opened, "status": "completed", "output": items, "usage": usage}
    return [{"type": "response.created", "response": opened}, *done, {"type": "response.completed", "response": closed}]
