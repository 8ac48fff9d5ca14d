"""OpenAI's wire formats, translated to and from a model call: chat completions, embeddings and responses.

See the API reference of OpenAI (chat/create, embeddings/create, responses/create). Pure functions.
"""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fapo.errors import PipelineError

_PASSED_ON = frozenset({
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "presence_penalty",
    "frequency_penalty", "reasoning_effort", "response_format", "tools", "tool_choice", "parallel_tool_calls",
})  # fmt: skip
_READ_HERE = frozenset({"model", "messages", "n", "stream", "stream_options"})
# What describes the caller and not the call.
_DROPPED = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
_MESSAGE_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id")
_EMPTY: tuple[Any, ...] = (None, False, [], {}, 0)
_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class ApiError(Exception):
    """A request that is answered with an error. None of the statuses used makes an SDK try again."""

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request", param: str | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


_CODES = {"context_length": "context_length_exceeded", "content_policy": "content_filter"}


def as_api_error(error: PipelineError) -> ApiError:
    """A refusal of the gateway. It has tried again where that helps, so the SDK must not."""
    return ApiError(str(error), code=_CODES.get(error.kind, error.kind))


@dataclass(frozen=True, slots=True)
class Call:
    """One model call as the worker's pipe takes it, made `n` times."""

    model: str
    role: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    sampling: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    n: int = 1
    stream: bool = False
    stream_usage: bool = False

    def as_message(self, step: str) -> dict[str, Any]:
        asked: dict[str, Any] = {"texts": self.texts} if self.texts else {"messages": self.messages}
        return {"step": step, "role": self.role, "sampling": self.sampling, "variables": None, **asked}


def find_role(model: object, models: Mapping[str, str]) -> str:
    """The role that a request's `model` means: a role, a role's model string, or the last part of that."""
    if isinstance(model, str):
        for role, name in models.items():
            if model in (role, name, name.rpartition("/")[2], name.partition("/")[2]):
                return role
    known = ", ".join(f"{role} ({name})" for role, name in models.items())
    message = f"pipeline.yaml has no model `{model}`; it has {known}"
    raise ApiError(message, status=404, code="model_not_found", param="model")


def read_chat(body: Mapping[str, Any], models: Mapping[str, str]) -> Call:
    """A request to /chat/completions. Raises ApiError for what cannot be passed on."""
    _refuse_unknown(body, _PASSED_ON | _READ_HERE | _DROPPED)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError("`messages` must be a list of messages", param="messages")
    n = body.get("n") or 1
    if not isinstance(n, int) or not 1 <= n <= 128:
        raise ApiError("`n` must be a number from 1 to 128", param="n")
    return Call(
        model=str(body.get("model")),
        role=find_role(body.get("model"), models),
        messages=[_message(message) for message in messages],
        sampling={name: body[name] for name in _PASSED_ON if body.get(name) is not None},
        n=n,
        stream=bool(body.get("stream")),
        stream_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def _refuse_unknown(body: Mapping[str, Any], known: frozenset[str]) -> None:
    for name, value in body.items():
        if name not in known and value not in _EMPTY:
            raise ApiError(f"`{name}` is not passed on to models here", param=name)


def _message(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise ApiError("a message must be an object", param="messages")
    for name, value in message.items():
        if name not in _MESSAGE_KEYS and value not in _EMPTY:
            raise ApiError(f"`{name}` in a message is not passed on to models here", param="messages")
    kept = {name: message[name] for name in _MESSAGE_KEYS if message.get(name) not in (None, [])}
    if "content" not in kept:
        kept["content"] = None if kept.get("tool_calls") else ""
    return kept


def read_embeddings(body: Mapping[str, Any], models: Mapping[str, str]) -> Call:
    """A request to /embeddings."""
    _refuse_unknown(body, frozenset({"model", "input", "encoding_format", "dimensions"}) | _DROPPED)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ApiError("`input` must be a text or a list of texts; tokens are not taken", param="input")
    sampling = {"dimensions": body["dimensions"]} if body.get("dimensions") else {}
    return Call(str(body.get("model")), find_role(body.get("model"), models), sampling=sampling, texts=texts)


def read_response(body: Mapping[str, Any], models: Mapping[str, str]) -> Call:
    """A request to /responses with texts and functions, as the chat completion that asks the same."""
    known = {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p",
             "max_output_tokens", "reasoning", "text", "stream", "stream_options", "include", "truncation"}  # fmt: skip
    _refuse_unknown(body, frozenset(known) | _DROPPED)
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list):
        raise ApiError("`input` must be a text or a list of items", param="input")
    system = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    chat: dict[str, Any] = {"model": body.get("model"), "messages": [*system, *_merged(map(_item, items))]}
    for name in ("temperature", "top_p", "parallel_tool_calls", "stream"):
        chat[name] = body.get(name)
    chat["max_completion_tokens"] = body.get("max_output_tokens")
    chat["reasoning_effort"] = (body.get("reasoning") or {}).get("effort")
    chat["tools"] = [_tool(tool) for tool in body.get("tools") or ()] or None
    choice = body.get("tool_choice")
    chat["tool_choice"] = (
        {"type": "function", "function": {"name": choice["name"]}} if isinstance(choice, dict) else choice
    )
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        schema = {name: wanted[name] for name in ("name", "schema", "strict", "description") if name in wanted}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif wanted.get("type") == "json_object":
        chat["response_format"] = wanted
    return read_chat({name: value for name, value in chat.items() if value is not None}, models)


def _item(item: Any) -> dict[str, Any]:
    match item:
        case {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}:
            call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case {"type": "function_call_output", "call_id": call_id, "output": output}:
            return {"role": "tool", "tool_call_id": call_id, "content": output}
        case {"role": role, "content": content}:
            return {"role": role, "content": _text_of(content)}
        case {"type": "reasoning"}:
            return {}
    raise ApiError("only messages, function calls and their outputs are taken as input here", param="input")


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise ApiError("only texts are taken as the content of a message here", param="input")
    return "".join(map(str, texts))


def _merged(messages: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls that were made together belong into one message of the assistant."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        if "tool_calls" in message and merged and "tool_calls" in merged[-1]:
            merged[-1]["tool_calls"] += message["tool_calls"]
        elif message:
            merged.append(message)
    return merged


def _tool(tool: Any) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise ApiError("only function tools are taken here", param="tools")
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


Reply = Mapping[str, Any]
"""What the parent answers to a model call: text, tool_calls, finish_reason, tokens; or embeddings."""


def chat_completion(number: int, call: Call, replies: Sequence[Reply]) -> dict[str, Any]:
    """The body of a reply from /chat/completions."""
    choices = [
        {"index": index, "message": _reply_message(reply), "finish_reason": _finish_reason(reply), "logprobs": None}
        for index, reply in enumerate(replies)
    ]
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": int(time.time()), "model": call.model}
    return {**head, "choices": choices, "usage": _usage(replies)}


def _reply_message(reply: Reply) -> dict[str, Any]:
    calls = list(reply.get("tool_calls") or ())
    message: dict[str, Any] = {"role": "assistant", "content": reply["text"] or (None if calls else "")}
    return message | ({"tool_calls": calls} if calls else {})


def _finish_reason(reply: Reply) -> str:
    if reply.get("tool_calls"):
        return "tool_calls"
    reason = reply.get("finish_reason")
    return reason if reason in _FINISH_REASONS else "stop"


def _usage(replies: Sequence[Reply]) -> dict[str, int]:
    """Tokens; 0 where they are unknown, since clients want numbers. What fapo counts is not taken from here."""
    prompt = sum(reply.get("input_tokens") or 0 for reply in replies)
    completion = sum(reply.get("output_tokens") or 0 for reply in replies)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def chat_chunks(number: int, call: Call, replies: Sequence[Reply]) -> Iterator[str]:
    """The events of a streamed reply: each choice at once, since it has already arrived whole."""
    whole = chat_completion(number, call, replies)
    head = {name: whole[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    for choice in whole["choices"]:
        delta = dict(choice["message"])
        if "tool_calls" in delta:
            delta["tool_calls"] = [{**made, "index": index} for index, made in enumerate(delta["tool_calls"])]
        yield _event({**head, "choices": [{"index": choice["index"], "delta": delta, "finish_reason": None}]})
        end = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
        yield _event({**head, "choices": [end]})
    if call.stream_usage:
        yield _event({**head, "choices": [], "usage": whole["usage"]})
    yield "data: [DONE]\n\n"


def _event(body: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


def embedding_list(call: Call, reply: Reply, encoding: str | None) -> dict[str, Any]:
    """The body of a reply from /embeddings; `base64` is little-endian 32-bit floats."""
    vectors = reply["embeddings"]
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if encoding == "base64" else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = reply.get("input_tokens") or 0
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": call.model, "usage": usage}


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def response(number: int, call: Call, reply: Reply) -> dict[str, Any]:
    """The body of a reply from /responses."""
    output: list[dict[str, Any]] = []
    if reply["text"] or not reply.get("tool_calls"):
        part = {"type": "output_text", "text": reply["text"], "annotations": []}
        output.append({"type": "message", "id": f"msg_{number}", "status": "completed", "role": "assistant",
                       "content": [part]})  # fmt: skip
    for index, made in enumerate(reply.get("tool_calls") or ()):
        output.append({"type": "function_call", "id": f"fc_{number}_{index}", "call_id": made["id"],
                       "status": "completed", **made["function"]})  # fmt: skip
    usage = _usage([reply])
    cut = _finish_reason(reply) == "length"
    return {
        "id": f"resp_{number}", "object": "response", "created_at": int(time.time()), "model": call.model,
        "status": "incomplete" if cut else "completed", "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None, "metadata": {}, "output": output, "parallel_tool_calls": True, "temperature": None,
        "tool_choice": "auto", "tools": [], "top_p": None,
        "usage": {"input_tokens": usage["prompt_tokens"], "input_tokens_details": {"cached_tokens": 0},
                  "output_tokens": usage["completion_tokens"], "output_tokens_details": {"reasoning_tokens": 0},
                  "total_tokens": usage["total_tokens"]},
    }  # fmt: skip


def response_events(number: int, call: Call, reply: Reply) -> Iterator[str]:
    """The events of a streamed reply from /responses: each text and each function's arguments at once."""
    whole = response(number, call, reply)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    bodies: list[dict[str, Any]] = [
        {"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")
    ]
    for index, item in enumerate(whole["output"]):
        bodies += ({**body, "output_index": index} for body in _item_events(item))
    bodies.append({"type": f"response.{whole['status']}", "response": whole})
    for place, body in enumerate(bodies):
        yield f"event: {body['type']}\n{_event({**body, 'sequence_number': place})}"


def _item_events(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    where: dict[str, Any] = {"item_id": item["id"]}
    if item["type"] == "function_call":
        event, given = "response.function_call_arguments", item["arguments"]
        yield _added(item, {"arguments": ""})
        yield {"type": f"{event}.delta", **where, "delta": given}
        yield {"type": f"{event}.done", **where, "name": item["name"], "arguments": given}
    else:
        (part,) = item["content"]
        where["content_index"] = 0
        yield _added(item, {"content": []})
        yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
        yield {"type": "response.output_text.delta", **where, "delta": part["text"], "logprobs": []}
        yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", "item": item}


def _added(item: dict[str, Any], empty: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "item": {**item, "status": "in_progress", **empty}}
