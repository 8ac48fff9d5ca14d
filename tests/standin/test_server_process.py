"""The stand-ins' server: the OpenAI shape, faults on demand, and a process that ends with its parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from fapo.standin.process import StandinAddress, standin_server

BODY: dict[str, Any] = {
    "model": "standin-reader",
    "temperature": 0,
    "messages": [
        {"role": "system", "content": "Choose one. Answer with only the id."},
        {"role": "user", "content": "Options:\n- A-1: garden hose\n- A-2: kitchen knife\n\nText: a knife"},
    ],
}

Scene = Callable[[aiohttp.ClientSession, StandinAddress], Awaitable[None]]


def play(scene: Scene, **options: Any) -> None:
    async def run() -> None:
        async with standin_server(**options) as address, aiohttp.ClientSession(address.base_url) as session:
            await scene(session, address)

    asyncio.run(run())


async def post(session: aiohttp.ClientSession, body: Any, **headers: str) -> aiohttp.ClientResponse:
    return await session.post("/v1/chat/completions", json=body, headers=headers)


def test_a_streamed_reply_equals_the_whole_one() -> None:
    async def scene(session: aiohttp.ClientSession, _: StandinAddress) -> None:
        whole = await (await post(session, BODY)).json()
        streamed = BODY | {"stream": True, "stream_options": {"include_usage": True}}
        lines = (await (await post(session, streamed)).text()).split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
        text = "".join(c["delta"].get("content", "") for chunk in chunks for c in chunk["choices"])
        assert text == whole["choices"][0]["message"]["content"] == "A-2"
        assert chunks[-1]["usage"] == whole["usage"]
        assert whole["usage"]["total_tokens"] == sum(
            whole["usage"][part] for part in ("prompt_tokens", "completion_tokens")
        )

    play(scene)


def test_a_malformed_body_is_refused_in_openais_shape() -> None:
    async def scene(session: aiohttp.ClientSession, _: StandinAddress) -> None:
        shapes: list[Any] = [{}, [], {"messages": []}, {"messages": "hello"}]
        for body in [*shapes, BODY | {"temperature": 9}, BODY | {"max_tokens": 0}]:
            response = await post(session, body)
            assert response.status == 400, body
            assert (await response.json())["error"]["type"] == "invalid_request_error"

    play(scene)


def test_faults_come_on_demand() -> None:
    async def scene(session: aiohttp.ClientSession, _: StandinAddress) -> None:
        limited = await post(session, BODY, **{"x-standin-fault": "429"})
        assert (limited.status, "Retry-After" in limited.headers) == (429, True)
        assert (await post(session, BODY, **{"x-standin-fault": "500"})).status == 500
        with pytest.raises(json.JSONDecodeError):
            await (await post(session, BODY, **{"x-standin-fault": "malformed"})).json()
        with pytest.raises(aiohttp.ClientError):
            await post(session, BODY, **{"x-standin-fault": "drop"})
        assert (await post(session, BODY)).status == 200

    play(scene)


def test_a_fault_rate_spoils_the_same_share_every_time() -> None:
    seen: list[list[int]] = []

    async def scene(session: aiohttp.ClientSession, _: StandinAddress) -> None:
        seen.append([(await post(session, BODY)).status for _ in range(40)])

    for _ in range(2):
        play(scene, fault_rate=0.5, fault_kinds="500")
    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 500}


def test_the_models_are_listed_and_the_digest_is_one_of_the_source() -> None:
    async def scene(session: aiohttp.ClientSession, address: StandinAddress) -> None:
        listed = await (await session.get("/v1/models")).json()
        assert [model["id"] for model in listed["data"]] == [
            "standin-reader",
            "standin-teacher",
            "standin-reflector",
            "standin-judge",
        ]
        assert len(address.digest) == 64

    play(scene)


def test_the_server_is_gone_after_its_context() -> None:
    async def run() -> None:
        async with standin_server() as address:
            pass
        async with aiohttp.ClientSession(address.base_url) as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get("/v1/models")

    asyncio.run(run())


PARENT = """
import asyncio, sys
from fapo.standin.process import standin_server
async def main():
    async with standin_server() as address:
        print(address.base_url, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def test_the_server_dies_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        url = parent.stdout.readline().strip()
        children = subprocess.run(["pgrep", "-P", str(parent.pid)], capture_output=True, text=True, check=True)
        (child,) = map(int, children.stdout.split())
        handle = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    try:
        assert url.startswith("http://127.0.0.1:")
        assert asyncio.run(ended(handle)), "the server outlived its parent"
    finally:
        os.close(handle)


async def ended(handle: int) -> bool:
    """Whether the process behind a pidfd ends within a minute."""
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, gone.set)
    try:
        async with asyncio.timeout(60):
            await gone.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
    return True
