"""A stage for sessions of the real CLI: a scripted model on loopback, a workspace, and what was seen on both sides."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fapo.agent.claude import ClaudeAgent
from fapo.agent.protocol import Agent, AgentEvent, AgentResult, AgentTask
from fapo.config import Isolation
from fapo.sandbox.policy import Level
from fapo.standin.messages import LARGEST_REQUEST, add_messages_routes
from fapo.standin.responses import add_responses_routes

Block = dict[str, Any]
Intercept = Callable[[web.Request], Awaitable[web.StreamResponse | None]]

MODEL = "claude-opus-4-5"
EDITABLE = ("pipeline/prompts/*.md",)


@dataclass
class Played:
    """A finished session: its result and its events."""

    result: AgentResult
    events: list[AgentEvent]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@dataclass
class Stage:
    """Where a session is played. `workspace` and `home` are siblings below `root`, which is outside of both.

    `requests` holds the bodies of all requests that the model's server received.
    """

    root: Path
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.workspace = self.root / "workspace"
        self.home = self.root / "home"
        for path, text in {
            "pipeline/prompts/answer.md": "Answer briefly.\n",
            "pipeline/pipeline.py": "K = 7\n",
            "train/cases.jsonl": '{"id": "c1"}\n',
        }.items():
            self.put(self.workspace / path, text)

    def put(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def task(self, base_url: str, **changes: Any) -> AgentTask:
        task = AgentTask(
            workspace=self.workspace,
            home=self.home,
            system_prompt="You optimize a pipeline.",
            prompt="Optimize.",
            tools=(),
            editable=lambda: EDITABLE,
            model=MODEL,
            environment={
                "ANTHROPIC_BASE_URL": base_url,
                "ANTHROPIC_API_KEY": "not-a-key",
                "CLAUDE_CODE_MAX_RETRIES": "1",
            },
            max_turns=200,
            max_budget_usd=None,
            stall_s=60.0,
            stop=asyncio.Event(),
        )
        return replace(task, **changes)

    def agent(self, cli: Path | None, isolation: Isolation | Level) -> Agent:
        return ClaudeAgent(cli, isolation=isolation)

    def play(
        self,
        *turns: list[Block],
        cli: Path | None = None,
        isolation: Isolation | Level = "auto",
        intercept: Intercept | None = None,
        on_event: Callable[[AgentEvent], None] | None = None,
        environment: dict[str, str] | None = None,
        **changes: Any,
    ) -> Played:
        """Run one session in which the model says `turns`, one after another, and then that it is done."""

        async def session() -> Played:
            events: list[AgentEvent] = []

            def tell(event: AgentEvent) -> None:
                events.append(event)
                if on_event is not None:
                    on_event(event)

            async with self.serve(list(turns), intercept) as base_url:
                task = self.task(base_url, **changes)
                task = replace(task, environment={**task.environment, **(environment or {})})
                result = await self.agent(cli, isolation).run(task, tell)
            return Played(result, events)

        return asyncio.run(session())

    def outcome(self, call_id: str) -> tuple[bool, str]:
        """Whether a tool call failed, and the text that the model was answered."""
        for message in reversed(json.loads(self.requests[-1])["messages"]):
            blocks = message["content"] if isinstance(message["content"], list) else []
            for block in blocks:
                if block["type"] == "tool_result" and block["tool_use_id"] == call_id:
                    return bool(block.get("is_error")), json.dumps(block["content"], ensure_ascii=False)
        raise LookupError(f"the model was never told of {call_id}")

    def processes(self) -> list[int]:
        """The live processes, of any parent, that were started for a session on this stage."""
        mark, found = str(self.home).encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and entry.name != str(os.getpid()):
                with suppress(OSError):
                    found += [int(entry.name)] if mark in entry.joinpath("cmdline").read_bytes() else []
        return found

    def cli_processes(self) -> list[int]:
        """Of `processes`, those that run the CLI: not those that watch over it."""
        return [pid for pid in self.processes() if Path(f"/proc/{pid}/comm").read_text() == "claude\n"]

    @asynccontextmanager
    async def serve(self, turns: list[list[Block]], intercept: Intercept | None = None) -> AsyncIterator[str]:
        """The scripted model's address. A turn is chosen by how often the model has spoken in what it is sent."""

        def decide(system: str, messages: list[Block]) -> list[Block]:
            spoken = sum(message["role"] == "assistant" for message in messages)
            return turns[spoken] if spoken < len(turns) else [{"type": "text", "text": "done"}]

        @web.middleware
        async def record(request: web.Request, handler: Any) -> web.StreamResponse:
            self.requests.append(await request.text())
            instead = await intercept(request) if intercept else None
            return instead if instead is not None else await handler(request)

        app = web.Application(middlewares=[record], client_max_size=LARGEST_REQUEST)
        add_messages_routes(app, decide)
        add_responses_routes(app, decide)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture(scope="module")
def make_stage(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Stage]:
    """For sessions that several tests look at."""
    return lambda: Stage(tmp_path_factory.mktemp("stage"))
