"""The way out of the agent's sandbox to providers whose requests only the agent's process can sign."""

from __future__ import annotations

import asyncio
import base64

import pytest

from fapo.agent.proxy import ConnectProxy
from tests.agent.loopback import TOKEN, closed_port, opened, say, talking

AUTHORIZATION = "Proxy-Authorization: Basic " + base64.b64encode(f"fapo:{TOKEN}".encode()).decode()


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers lines in upper case, and says goodbye once it is told no more."""
    while line := await reader.readline():
        writer.write(line.upper())
    writer.write(b"BYE")


def connect(target: str, *headers: str, method: str = "CONNECT") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {target}", *headers, "", ""]).encode("latin-1")


async def status_of(hosts: set[tuple[str, int]], head: bytes, **environment: str) -> str:
    async with opened(ConnectProxy(frozenset(hosts), TOKEN, environment)) as port:
        return (await say(port, head)).partition(b"\r\n")[0].decode()


@pytest.mark.parametrize("target", ["localhost:{port}", "LocalHost:{port}"])
def test_a_tunnel_carries_both_ways_until_both_ends_are_done(target: str) -> None:
    async def scene() -> None:
        async with talking(shout) as far, opened(ConnectProxy(frozenset({("localhost", far)}), TOKEN, {})) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(connect(target.format(port=far), AUTHORIZATION))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            writer.write(b"one\n")
            assert await reader.readline() == b"ONE\n"
            writer.write(b"two\n")
            writer.write_eof()
            assert await reader.read() == b"TWO\nBYE"
            writer.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Proxy-Authorization: Basic"],
        ["Proxy-Authorization: Basic !!!"],
        [f"Proxy-Authorization: Bearer {TOKEN}"],
        [f"Proxy-Authorization: Basic {base64.b64encode(b'fapo:wrong').decode()}"],
        [f"Proxy-Authorization: Basic {base64.b64encode(TOKEN.encode()).decode()}"],
        [f"X-{AUTHORIZATION}"],
        ["Proxy-Authorization: Basic \xe9"],
    ],
)
def test_a_tunnel_needs_the_token(headers: list[str]) -> None:
    async def scene() -> None:
        async with talking(shout) as far:
            head = connect(f"localhost:{far}", *headers)
            assert await status_of({("localhost", far)}, head) == "HTTP/1.1 407 Proxy Authentication Required"

    asyncio.run(scene())


@pytest.mark.parametrize(
    "target",
    [
        "example.com:{port}",
        "localhost:1",
        "localhost",
        "localhost:",
        ":{port}",
        "127.0.0.1:{port}",
        "[::1]:{port}",
        "2130706433:{port}",
        "0x7f.1:{port}",
        "localhost.:{port}",
        "x.localhost:{port}",
        "localhost:{port}@example.com:443",
        "user@localhost:{port}",
        "http://localhost:{port}",
        "localhost:{port}/",
        "localhost:+{port}",
        "localhost:-1",
        "localhost:0{port}x",
        "localhost:\xb2",
        "localhost:" + "9" * 5000,
        "localhost\x00.example.com:{port}",
    ],
)
def test_only_named_hosts_are_reached(target: str) -> None:
    async def scene() -> None:
        async with talking(shout) as far:
            head = connect(target.format(port=far), AUTHORIZATION)
            assert await status_of({("localhost", far)}, head) == "HTTP/1.1 403 Forbidden"

    asyncio.run(scene())


@pytest.mark.parametrize("method", ["GET", "POST", "connect", ""])
def test_only_tunnels_are_made(method: str) -> None:
    async def scene() -> None:
        async with talking(shout) as far:
            head = connect(f"localhost:{far}", AUTHORIZATION, method=method)
            assert await status_of({("localhost", far)}, head) == "HTTP/1.1 403 Forbidden"

    asyncio.run(scene())


@pytest.mark.parametrize("head", [b"\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"CONNECT\r\n\r\n", b":\r\n:\r\n\r\n"])
def test_a_malformed_request_is_refused(head: bytes) -> None:
    assert asyncio.run(status_of(set(), head)) == "HTTP/1.1 407 Proxy Authentication Required"


def test_a_huge_head_is_not_answered_and_the_next_request_is(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with talking(shout) as far, opened(ConnectProxy(frozenset({("localhost", far)}), TOKEN, {})) as port:
            huge = connect(f"localhost:{far}", AUTHORIZATION, "X-Fill: " + "x" * 200_000)
            assert await say(port, huge) == b""
            assert (await say(port, connect("other:1", AUTHORIZATION))).startswith(b"HTTP/1.1 403 ")

    asyncio.run(scene())
    assert caplog.messages == []


def test_a_host_that_is_down_is_a_bad_gateway() -> None:
    port = closed_port()
    status = asyncio.run(status_of({("localhost", port)}, connect(f"localhost:{port}", AUTHORIZATION)))
    assert status == "HTTP/1.1 502 Bad Gateway"


def test_tunnels_end_with_the_proxy() -> None:
    async def scene() -> None:
        async with talking(shout) as far:
            async with opened(ConnectProxy(frozenset({("localhost", far)}), TOKEN, {})) as port:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(connect(f"localhost:{far}", AUTHORIZATION))
                await reader.readuntil(b"\r\n\r\n")
            assert await reader.read() == b""
            writer.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("HTTP/1.1 200 OK\r\nX: y", "200"), ("HTTP/1.1 403 No", "502"), ("HTTP/1.1", "502"), ("200 200", "200")],
)
def test_a_tunnel_goes_through_the_users_proxy(answer: str, expected: str) -> None:
    heads: list[str] = []

    async def users(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"{answer}\r\n\r\n".encode())

    async def scene() -> str:
        async with talking(users) as port:
            proxy = f"http://me:p%40ss@127.0.0.1:{port}"
            return await status_of({("far.test", 443)}, connect("far.test:443", AUTHORIZATION), HTTPS_PROXY=proxy)

    assert asyncio.run(scene()).split()[1] == expected
    login = base64.b64encode(b"me:p@ss").decode()
    assert heads[0].split("\r\n")[0] == "CONNECT far.test:443 HTTP/1.1"
    assert f"Proxy-Authorization: Basic {login}\r\n" in heads[0]
    assert TOKEN not in heads[0]
