"""The Messages stand-in: the same reply streamed and whole, in the API's shapes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from fapo.standin.messages import add_messages_routes

Block = dict[str, Any]
REQUEST: Block = {
    "model": "m",
    "system": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
    "messages": [{"role": "user", "content": "hi"}],
}
REPLY: list[Block] = [
    {"type": "text", "text": "I look – once."},
    {"type": "tool_use", "name": "Read", "input": {"file_path": "a"}},
    {"type": "tool_use", "name": "Read", "input": {"file_path": "b"}},
]


def post(path: str, body: str, reply: list[Block] | None = None, seen: list[Any] | None = None) -> tuple[int, str]:
    def decide(system: str, messages: list[Block]) -> list[Block]:
        if seen is not None:
            seen.append((system, messages))
        return REPLY if reply is None else reply

    async def exchange() -> tuple[int, str]:
        app = web.Application()
        add_messages_routes(app, decide)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.post(f"http://{host}:{port}{path}", data=body) as answer,
            ):
                return answer.status, await answer.text()
        finally:
            await runner.cleanup()

    return asyncio.run(exchange())


def events(stream: str) -> list[Block]:
    """The stream's events, each of whose names is that of its data."""
    parsed = []
    for chunk in stream.strip().split("\n\n"):
        name, data = chunk.split("\n", 1)
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        parsed.append(event)
    return parsed


def test_a_whole_reply() -> None:
    seen: list[Any] = []
    status, text = post("/v1/messages?beta=true", json.dumps(REQUEST), seen=seen)
    message = json.loads(text)
    assert status == 200
    assert seen == [("one\n\ntwo", REQUEST["messages"])]
    assert [message[key] for key in ("type", "role", "model", "stop_reason")] == [
        "message",
        "assistant",
        "m",
        "tool_use",
    ]
    assert [{k: v for k, v in block.items() if k != "id"} for block in message["content"]] == REPLY
    assert len({block["id"] for block in message["content"][1:]}) == 2
    assert message["usage"]["input_tokens"] > 0
    assert message["usage"]["output_tokens"] > 0


def test_a_streamed_reply_says_the_same() -> None:
    _, text = post("/v1/messages", json.dumps({**REQUEST, "stream": True}))
    told = events(text)
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert [event["type"] for event in told] == ["message_start", *block * 3, "message_delta", "message_stop"]
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    assert deltas[0]["text"] == REPLY[0]["text"]
    assert [json.loads(delta["partial_json"]) for delta in deltas[1:]] == [block["input"] for block in REPLY[1:]]
    assert told[-2]["delta"]["stop_reason"] == "tool_use"
    assert told[0]["message"]["content"] == []


def test_a_reply_without_tool_calls_ends_the_turn() -> None:
    _, text = post("/v1/messages", json.dumps(REQUEST), [{"type": "text", "text": "done"}])
    assert json.loads(text)["stop_reason"] == "end_turn"


def test_tokens_are_counted_by_length() -> None:
    _, short = post("/v1/messages/count_tokens", json.dumps(REQUEST))
    _, long = post("/v1/messages/count_tokens", json.dumps({**REQUEST, "system": "x" * 4000}))
    assert 900 < json.loads(long)["input_tokens"] - json.loads(short)["input_tokens"] < 1100


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"model": "m"}', '{"messages": []}'])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_malformed_request_is_refused(path: str, body: str) -> None:
    status, text = post(path, body)
    assert status == 400
    assert json.loads(text)["error"]["type"] == "invalid_request_error"
