"""Sessions that do not go well, on the real CLI: each has its status, says why, and leaves no process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from fapo.agent.claude import ClaudeAgent
from fapo.agent.protocol import AgentEvent, AgentTool
from fapo.sandbox.policy import Level
from fapo.sandbox.probe import CONFINING

if TYPE_CHECKING:
    from tests.agent.conftest import Block, Stage

LOOK: Block = {"type": "tool_use", "name": "Glob", "input": {"pattern": "*"}}
WAIT: Block = {"type": "tool_use", "name": "mcp__fapo__wait", "input": {}}


async def hang(_: web.Request) -> None:
    await asyncio.Event().wait()


def waiting_tool(handler: Any) -> AgentTool:
    return AgentTool("wait", "Waits.", {"type": "object"}, handler, read_only=False)


def test_an_endpoint_that_always_fails(stage: Stage) -> None:
    async def broken(_: web.Request) -> web.Response:
        error = {"type": "error", "error": {"type": "api_error", "message": "the lights are out"}}
        return web.json_response(error, status=500)

    played = stage.play(intercept=broken)
    assert played.result.status == "failed"
    assert "the lights are out" in (played.result.error or "")
    assert played.result.cause == "overload"
    assert "retry" in played.kinds()
    assert stage.processes() == []


def test_a_refused_key(stage: Stage) -> None:
    async def refuse(_: web.Request) -> web.Response:
        error = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
        return web.json_response(error, status=401)

    played = stage.play(intercept=refuse)
    assert played.result.status == "failed"
    assert "Invalid API key" in (played.result.error or "")
    assert played.result.cause == "credentials"


@pytest.mark.parametrize(
    ("status", "kind", "message", "cause"),
    [
        (429, "rate_limit_error", "too many requests", "rate_limit"),
        (529, "overloaded_error", "overloaded", "overload"),
        (400, "invalid_request_error", "Your credit balance is too low to access the API", "billing"),
        (400, "invalid_request_error", "no such thing", "other"),
    ],
)
def test_what_the_endpoint_says_tells_the_cause(stage: Stage, status: int, kind: str, message: str, cause: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"type": "error", "error": {"type": kind, "message": message}}, status=status)

    played = stage.play(intercept=refuse)
    assert (played.result.status, played.result.cause) == ("failed", cause)


def test_a_killed_cli(stage: Stage) -> None:
    async def kill(_: dict[str, Any]) -> str:
        for process in stage.processes():
            os.kill(process, signal.SIGKILL)
        return "killed"

    played = stage.play([WAIT], tools=(waiting_tool(kill),))
    assert played.result.status == "failed"
    assert played.result.error == "Claude Code ended with exit code -9"
    assert played.result.cause == "no_result"
    assert played.result.cost_usd is None
    assert played.result.turns == 1
    assert stage.processes() == []


def test_a_cli_that_does_not_start_explains_itself(stage: Stage) -> None:
    fake = stage.put(stage.root / "fake", "#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")
    fake.chmod(0o755)
    played = stage.play(cli=fake)
    assert played.result.status == "failed"
    assert "no such luck" in (played.result.error or "")


def test_a_cli_that_is_not_there(stage: Stage) -> None:
    played = stage.play(cli=stage.root / "missing")
    assert played.result.status == "failed"
    assert "missing" in (played.result.error or "")


def test_a_stop_while_the_model_is_thinking(stage: Stage) -> None:
    stop = asyncio.Event()

    async def stop_and_hang(request: web.Request) -> None:
        stop.set()
        await hang(request)

    played = stage.play(intercept=stop_and_hang, stop=stop)
    assert (played.result.status, played.result.error) == ("stopped", None)
    assert played.result.cost_usd is not None
    assert stage.processes() == []


def test_a_stop_cancels_the_tool_that_is_running(stage: Stage) -> None:
    stop, cancelled = asyncio.Event(), []

    async def wait(_: dict[str, Any]) -> str:
        stop.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return "never"

    played = stage.play([WAIT], tools=(waiting_tool(wait),), stop=stop)
    assert played.result.status == "stopped"
    assert cancelled == [True]
    assert stage.processes() == []


def test_a_stop_that_comes_with_the_agents_last_word_changes_nothing(stage: Stage) -> None:
    stop = asyncio.Event()

    def on_result(event: AgentEvent) -> None:
        if event.kind == "result":
            stop.set()

    assert stage.play(stop=stop, on_event=on_result).result.status == "finished"


def test_the_limit_of_turns(stage: Stage) -> None:
    played = stage.play(*[[LOOK]] * 5, max_turns=2)
    assert (played.result.status, played.result.error) == ("limit", "the session reached its limit of 2 turns")
    assert stage.processes() == []


def test_the_limit_of_dollars(stage: Stage) -> None:
    played = stage.play(*[[LOOK]] * 5, max_budget_usd=0.0001)
    assert (played.result.status, played.result.error) == ("limit", "the session reached its limit of 0.0001 dollars")
    assert (played.result.cost_usd or 0) > 0.0001


def test_a_model_that_falls_silent(stage: Stage) -> None:
    played = stage.play(intercept=hang, stall_s=3.0)
    assert played.result.status == "stalled"
    assert played.result.error == "nothing was heard from the model for 3 s"
    assert stage.processes() == []


def test_a_long_tool_call_is_no_silence(stage: Stage) -> None:
    async def take_long(_: dict[str, Any]) -> str:
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(6.0, over.set)
        await over.wait()
        return "done"

    played = stage.play([WAIT], tools=(waiting_tool(take_long),), stall_s=5.0)
    assert played.result.status == "finished"


def test_an_error_in_the_listener_is_raised(stage: Stage) -> None:
    def fail(_: AgentEvent) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage.play(on_event=fail)
    assert stage.processes() == []


@pytest.mark.parametrize("level", CONFINING)
def test_a_cancelled_session_leaves_no_process(stage: Stage, level: Level) -> None:
    async def cancel_when_asked() -> None:
        asked = asyncio.Event()

        async def note_and_hang(request: web.Request) -> None:
            asked.set()
            await hang(request)

        async with stage.serve([], note_and_hang) as base_url:
            agent = ClaudeAgent(isolation=level)
            session = asyncio.create_task(agent.run(stage.task(base_url), lambda _: None))
            await asked.wait()
            assert len(stage.cli_processes()) == 1
            session.cancel()
            with pytest.raises(asyncio.CancelledError):
                await session

    asyncio.run(cancel_when_asked())
    assert stage.processes() == []


PARENT = """
import asyncio, sys
from pathlib import Path
from fapo.agent.claude import ClaudeAgent
from fapo.agent.protocol import AgentTask

async def main(workspace, url, level):
    home = Path(workspace).parent / "home"
    environment = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "x"}
    rest = ("claude-opus-4-5", environment, 5, None, 60, asyncio.Event())
    task = AgentTask(Path(workspace), home, "s", "p", (), lambda: (), *rest)
    await ClaudeAgent(isolation=level).run(task, print)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("level", [*CONFINING, "none"])
def test_the_cli_dies_with_a_parent_that_is_killed(stage: Stage, level: Level) -> None:
    async def kill_the_parent() -> None:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def note_and_hang(request: web.Request) -> None:
            asked.set()
            await hang(request)

        async with stage.serve([], note_and_hang) as base_url:
            arguments = ["-c", PARENT, str(stage.workspace), base_url, level]
            parent = await asyncio.create_subprocess_exec(sys.executable, *arguments)
            await asked.wait()
            (cli,) = stage.cli_processes()
            watched = os.pidfd_open(cli)
            asyncio.get_running_loop().add_reader(watched, gone.set)
            parent.kill()
            await parent.wait()
            async with asyncio.timeout(30):
                await gone.wait()
            asyncio.get_running_loop().remove_reader(watched)
            os.close(watched)

    asyncio.run(kill_the_parent())
    assert stage.processes() == []
