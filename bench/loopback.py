"""The benchmark server as a process, and what it can do at most."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.work import MODEL, SAMPLING, STEPS, messages

_SERVER = Path(__file__).with_name("server.py")
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Server:
    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def reset(self, latency_ms: float) -> None:
        """Forget what was counted; from now on answer after `latency_ms`."""
        self._ask("POST", "/reset", json.dumps({"latency_ms": latency_ms}).encode())

    def stats(self) -> dict[str, Any]:
        found = self._ask("GET", "/stats", None)
        assert isinstance(found, dict)
        return found

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            return json.load(response)


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server of its own; it ends with the block, and if this process dies."""
    process = subprocess.Popen([sys.executable, str(_SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.stdin.close()


class _Client(asyncio.Protocol):
    """Sends the same request again and again, one at a time, and reads no more of a reply than where it ends."""

    def __init__(self, payload: bytes, budget: list[int], done: asyncio.Future[None]) -> None:
        self._payload, self._budget, self._done = payload, budget, done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if self._budget[0] > 0:
            self._budget[0] -= 1
            self._transport.write(self._payload)
        else:
            self._done.set_result(None)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END)
        if end < 0:
            return
        length = int(self._received[:end].rpartition(b"Content-Length: ")[2])
        if len(self._received) >= end + 4 + length:
            self._received = b""
            self._next()


async def _drive(port: int, requests: int, connections: int) -> float:
    loop = asyncio.get_running_loop()
    body = json.dumps({"model": MODEL, "messages": messages(next(iter(STEPS)), "x" * 300), **SAMPLING}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    budget = [requests]
    ends = [loop.create_future() for _ in range(connections)]
    started = time.monotonic()
    for end in ends:
        client = functools.partial(_Client, head.encode() + body, budget, end)
        await loop.create_connection(client, "127.0.0.1", port)
    await asyncio.gather(*ends)
    return time.monotonic() - started


def ceiling(server: Server, *, requests: int, connections: int) -> dict[str, float]:
    """Requests a second at no latency, and the CPU that one costs the server."""
    server.reset(0)
    took = asyncio.run(_drive(server.port, requests, connections))
    found = server.stats()
    assert found["replies"] == requests
    rate, cpu = requests / took, 1000 * found["cpu_s"] / requests
    return {"connections": connections, "requests_per_s": round(rate), "cpu_ms_per_request": round(cpu, 4)}
