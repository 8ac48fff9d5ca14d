"""An OpenAI-compatible endpoint on the loopback interface that answers after a fixed latency.

POST /v1/chat/completions answers with `work.reply_to` of the last message. POST /reset ({"latency_ms": 200}) starts
a new count, GET /stats gives it. HTTP/1.1 with keep-alive, pipelining and Content-Length; nothing else, for speed.
Prints its port as one line and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.work import MODEL, reply_to

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHAT = b"POST /v1/chat/completions "
_BACKLOG = 4096


class Counts:
    """What came in since the last reset. Times are CLOCK_MONOTONIC, which all processes of a machine share."""

    def __init__(self) -> None:
        self.requests = 0
        self.replies = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self.first: float | None = None
        self.last: float | None = None
        self.prompts: collections.Counter[str] = collections.Counter()
        self.distinct: set[int] = set()
        self.connections = 0
        self.cpu_start = time.process_time()

    def note(self, messages: list[dict[str, Any]]) -> None:
        self.requests += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if self.first is None:
            self.first = time.monotonic()
        self.prompts[messages[0]["content"]] += 1
        self.distinct.add(hash(messages[-1]["content"]))

    def shown(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "replies": self.replies,
            "max_in_flight": self.max_in_flight,
            "first": self.first,
            "last": self.last,
            "window_s": None if self.first is None or self.last is None else self.last - self.first,
            "by_prompt": sorted(self.prompts.values()),
            "distinct": len(self.distinct),
            "connections": self.connections,
            "cpu_s": time.process_time() - self.cpu_start,
        }


class Endpoint:
    """The latency and the replies that wait for it. All wait equally long, so a queue and one timer are enough."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.counts = Counts()
        self._loop = asyncio.get_running_loop()
        self._waiting: collections.deque[tuple[float, Connection, bytes]] = collections.deque()

    def later(self, connection: Connection, reply: bytes) -> None:
        due = self._loop.time() + self.latency_s
        self._waiting.append((due, connection, reply))
        if len(self._waiting) == 1:
            self._loop.call_at(due, self._send_due)

    def _send_due(self) -> None:
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            _, connection, reply = self._waiting.popleft()
            connection.send(reply)
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._send_due)

    def reset(self, body: bytes) -> None:
        if body:
            self.latency_s = json.loads(body)["latency_ms"] / 1000
        self.counts = Counts()


class Connection(asyncio.Protocol):
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._endpoint.counts.connections += 1

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            head = received[: end + 2]
            length = int(found[1]) if (found := _LENGTH.search(head)) else 0
            whole = end + 4 + length
            if len(received) < whole:
                break
            self._take(head, received[end + 4 : whole])
            received = received[whole:]
        self._received = received

    def _take(self, head: bytes, body: bytes) -> None:
        if head.startswith(_CHAT):
            messages = json.loads(body)["messages"]
            self._endpoint.counts.note(messages)
            self._endpoint.later(self, _completion(messages))
        elif head.startswith(b"GET /stats "):
            self._write(_response(b"200 OK", json.dumps(self._endpoint.counts.shown())))
        elif head.startswith(b"POST /reset "):
            self._endpoint.reset(body)
            self._write(_response(b"200 OK", "{}"))
        else:
            line = head.split(b"\r\n", 1)[0].decode("latin-1")
            self._write(_response(b"404 Not Found", json.dumps({"error": {"message": f"no such thing: {line}"}})))

    def send(self, reply: bytes) -> None:
        """Write a completion; one whose client is gone is not counted as a reply."""
        counts = self._endpoint.counts
        counts.in_flight -= 1
        if self._transport is None:
            return
        self._write(reply)
        counts.replies += 1
        counts.last = time.monotonic()

    def _write(self, reply: bytes) -> None:
        if self._transport is not None:
            self._transport.write(reply)


def _completion(messages: list[dict[str, Any]]) -> bytes:
    text = reply_to(messages[-1]["content"])
    prompt_tokens = sum(len(message["content"]) for message in messages) // 4
    completion_tokens = len(text) // 4
    return _response(
        b"200 OK",
        json.dumps(
            {
                "id": f"chatcmpl-{text[7:31]}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": MODEL,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": prompt_tokens,
                    "completion_tokens": completion_tokens,
                    "total_tokens": prompt_tokens + completion_tokens,
                    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
                },
                "service_tier": "default",
                "system_fingerprint": "fp_bench",
            }
        ),
    )


def _response(status: bytes, body: str) -> bytes:
    payload = body.encode()
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status, len(payload), payload,
    )  # fmt: skip


async def serve(latency_s: float, port: int) -> None:
    loop = asyncio.get_running_loop()
    endpoint = Endpoint(latency_s)
    server = await loop.create_server(lambda: Connection(endpoint), "127.0.0.1", port, backlog=_BACKLOG)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    found = parser.parse_args()
    asyncio.run(serve(found.latency_ms / 1000, found.port))


if __name__ == "__main__":
    main()
