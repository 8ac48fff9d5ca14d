"""The stage of `conftest.py` for sessions of the real Codex."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from fapo.agent.codex import CodexAgent
from fapo.agent.protocol import Agent, AgentTask
from fapo.config import Isolation
from fapo.sandbox.policy import Level
from tests.agent.conftest import Stage

KEY = "canary-9f2c-openai-key"
DOLLAR_A_TOKEN = 0.001


def price(model: str, asked: int, cached: int, said: int) -> float | None:
    return DOLLAR_A_TOKEN * (asked + said) if model != "unpriced" else None


class CodexStage(Stage):
    def task(self, base_url: str, **changes: Any) -> AgentTask:
        given = {"model": "gpt-5.5", "environment": {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": KEY}, **changes}
        return super().task(base_url, **given)

    def agent(self, cli: Path | None, isolation: Isolation | Level) -> Agent:
        return CodexAgent(price, cli, isolation=isolation)

    def outcome(self, call_id: str) -> tuple[bool, str]:
        for item in json.loads(self.requests[-1])["input"]:
            if item.get("type", "").endswith("_output") and item.get("call_id") == call_id:
                text = item["output"] if isinstance(item["output"], str) else _joined(item["output"])
                return text.startswith("error: "), text
        raise LookupError(f"the model was never told of {call_id}")

    def processes(self) -> list[int]:
        mark, found = f"CODEX_HOME={self.home}/".encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and entry.name != str(os.getpid()):
                with suppress(OSError):
                    found += [int(entry.name)] if mark in entry.joinpath("environ").read_bytes() else []
        return found


def _joined(parts: list[dict[str, str]]) -> str:
    return "\n".join(part["text"] for part in parts if not part["text"].startswith("Wall time:"))


async def stream(request: web.Request, *events: dict[str, Any]) -> web.StreamResponse:
    """A reply of the Responses API made of these events."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    await response.write_eof()
    return response
