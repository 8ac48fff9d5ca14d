"""The two kinds of network that a sandbox can have."""

from __future__ import annotations

import json
import socket

import pytest

from fapo.errors import IsolationError
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Level, Network, Policy, runtime_paths
from tests.sandbox.attacks import run_code

TRIER = """
import asyncio, json, socket, sys
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Policy, runtime_paths

level, network, port, open_port, closed_port = json.loads(sys.stdin.read())
confine(Policy(read=runtime_paths(), network=network, port=port), level)

async def talk_to_itself(host):
    async def answer(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, host, 0) as server:
        reader, writer = await asyncio.open_connection(host, server.sockets[0].getsockname()[1])
        writer.write(b"hello\\n")
        said = await reader.read()
        writer.close()
        await writer.wait_closed()
    return said.decode().strip()

attempts = {
    "connect to the open port": lambda: socket.create_connection(("127.0.0.1", open_port), 5).close(),
    "connect to it by name": lambda: socket.create_connection(("localhost", open_port), 5).close(),
    "connect to another port": lambda: socket.create_connection(("127.0.0.1", closed_port), 5).close(),
    "send to another port": lambda: socket.socket().sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", closed_port)),
    "send to it in a message": lambda: socket.socket().sendmsg([b"x"], [], socket.MSG_FASTOPEN,
                                                               ("127.0.0.1", closed_port)),
    "listen": lambda: socket.create_server(("127.0.0.1", 0)).close(),
    "talk to itself": lambda: asyncio.run(talk_to_itself("127.0.0.1")),
    "talk to itself by name": lambda: asyncio.run(talk_to_itself("localhost")),
    "several paths": lambda: socket.socket(proto=262).close(),
    "udp": lambda: socket.socket(type=socket.SOCK_DGRAM).close(),
    "unix": lambda: socket.socket(socket.AF_UNIX).close(),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "vsock": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close(),
}
said = []
for name, attempt in attempts.items():
    try:
        attempt()
        said.append(name)
    except (OSError, IndexError):  # a server without a socket has no address
        pass
print(json.dumps(said))
"""
ALL = [
    "connect to the open port", "connect to it by name", "connect to another port", "send to another port",
    "send to it in a message", "listen", "talk to itself", "talk to itself by name", "several paths", "udp", "unix",
    "netlink", "vsock",
]  # fmt: skip


def what_works(level: Level, network: Network) -> list[str]:
    with socket.create_server(("127.0.0.1", 0)) as opened, socket.create_server(("127.0.0.1", 0)) as closed:
        open_port, closed_port = opened.getsockname()[1], closed.getsockname()[1]
        port = open_port if network == "port" else None
        policy = Policy(read=runtime_paths(), network=network, port=port)
        order = json.dumps([level, network, port, open_port, closed_port])
        said: list[str] = json.loads(run_code(TRIER, policy, level, said=order))
        return said


@pytest.mark.parametrize(
    ("level", "network", "works"),
    [
        ("full", "none", []),
        ("landlock", "none", []),
        ("full", "private", ["listen", "talk to itself", "talk to itself by name"]),
        ("full", "port", ["connect to the open port", "connect to it by name"]),
        ("landlock", "port", ["connect to the open port", "connect to it by name"]),
        ("none", "none", ALL),
    ],
)
def test_a_network_lets_through_what_it_says(level: Level, network: Network, works: list[str]) -> None:
    assert what_works(level, network) == works


def test_a_network_of_its_own_needs_level_full() -> None:
    with pytest.raises(IsolationError, match="needs level `full`"):
        confine(Policy(read=runtime_paths(), network="private"), "landlock")


ENDPOINT = """
import asyncio, sys
import aiohttp.web as web, httpx, openai
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Policy, runtime_paths

confine(Policy(read=runtime_paths(), network="private"), "full")

async def reply(request):
    message = {"role": "assistant", "content": (await request.json())["messages"][0]["content"]}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return web.json_response({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})

async def main():
    app = web.Application()
    app.router.add_post("/v1/chat/completions", reply)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    asked = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    async with openai.AsyncOpenAI(api_key="x", base_url=base) as client:
        print((await client.chat.completions.create(**asked)).choices[0].message.content)
    with openai.OpenAI(api_key="x", base_url=base) as client:
        answered = await asyncio.to_thread(client.chat.completions.create, **asked)
    print(answered.choices[0].message.content)
    async with httpx.AsyncClient() as client:
        print((await client.post(base + "/chat/completions", json=asked)).status_code)
    await runner.cleanup()

asyncio.run(main())
"""


@pytest.mark.needs_level("full")
def test_an_endpoint_and_its_clients_can_live_in_a_network_of_their_own() -> None:
    policy = Policy(read=runtime_paths(), network="private")
    assert run_code(ENDPOINT, policy, "full").split() == ["hello", "hello", "200"]
