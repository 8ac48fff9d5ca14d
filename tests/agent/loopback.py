"""Plain clients and small servers on loopback, for what lies between them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from fapo.agent.proxy import Proxy

TOKEN = "the-token"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@dataclass
class Endpoint:
    """A server that answers everything by `handler`, and remembers what it was asked."""

    handler: Handler
    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, str(request.rel_url), headers, await request.read()))
        return await self.handler(request)


async def fine(request: web.Request) -> web.StreamResponse:
    return web.json_response({"type": "message"})


@asynccontextmanager
async def serving(handler: Handler = fine) -> AsyncIterator[Endpoint]:
    endpoint, app = Endpoint(handler), web.Application()
    app.router.add_route("*", "/{path:.*}", endpoint.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield endpoint
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(proxy: Proxy) -> AsyncIterator[int]:
    """The port of a proxy that is being served."""
    listener = socket.create_server(("127.0.0.1", 0))
    await proxy.listen(listener)
    try:
        yield listener.getsockname()[1]
    finally:
        await proxy.aclose()


@asynccontextmanager
async def asking(
    proxy: Proxy, path: str = "/v1/messages", method: str = "POST", **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The reply to one request, with the right token unless headers say otherwise."""
    given = {name.replace("_", "-"): value for name, value in ({"x_api_key": TOKEN} | headers).items()}
    async with opened(proxy) as port, aiohttp.ClientSession() as client:
        url = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
        async with client.request(method, url, data=b'{"a": 1}', headers=given) as reply:
            yield reply


async def ask(proxy: Proxy, path: str = "/v1/messages", method: str = "POST", **headers: str) -> tuple[int, str]:
    async with asking(proxy, path, method, **headers) as reply:
        return reply.status, await reply.text()


def error_type(text: str) -> str:
    """Of an error in the shape of the Messages API."""
    told = json.loads(text)
    assert told["type"] == "error"
    assert told["error"]["message"].startswith("fapo: ")
    return str(told["error"]["type"])


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def say(port: int, *parts: bytes) -> bytes:
    """All that a server answers until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """The port of a server that talks to one connection after another and then closes it."""
    talks: list[asyncio.Task[None]] = []

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(whole(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
