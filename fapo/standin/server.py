"""The stand-ins' server: the reader as an OpenAI-compatible endpoint, the optimizer as Anthropic's and OpenAI's own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys

from aiohttp import web

from fapo.standin.chat import FaultPlan, add_chat_routes
from fapo.standin.messages import add_messages_routes
from fapo.standin.optimizer import decide
from fapo.standin.responses import add_responses_routes
from fapo.standin.reviewer import decide_review

MAX_BODY_BYTES = 64 * 2**20


def make_app(faults: FaultPlan | None = None) -> web.Application:
    """All endpoints in one application."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    add_chat_routes(app, faults or FaultPlan())
    for add_routes in (add_messages_routes, add_responses_routes):
        add_routes(app, lambda system, messages: decide_review(messages) or decide(system, messages))
    return app


async def serve(host: str, port: int, faults: FaultPlan) -> None:
    """Print `{"port": N}` when ready, then serve until standard input closes, as it does when the parent ends."""
    runner = web.AppRunner(make_app(faults), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    await site.start()
    bound = runner.addresses[0][1]
    print(json.dumps({"port": bound}), flush=True)
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, closed.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    _watch_standard_input(loop, closed)
    await closed.wait()
    await runner.cleanup()


def _watch_standard_input(loop: asyncio.AbstractEventLoop, closed: asyncio.Event) -> None:
    def check() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            closed.set()

    with contextlib.suppress(PermissionError):
        loop.add_reader(sys.stdin.fileno(), check)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fapo.standin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of chat calls that go wrong")
    parser.add_argument(
        "--fault-kinds", default=",".join(FaultPlan().kinds), help="of 429, 500, drop, malformed, stall"
    )
    parser.add_argument("--fault-seed", type=int, default=0)
    given = parser.parse_args()
    faults = FaultPlan(given.fault_rate, tuple(given.fault_kinds.split(",")), given.fault_seed)
    asyncio.run(serve(given.host, given.port, faults))
