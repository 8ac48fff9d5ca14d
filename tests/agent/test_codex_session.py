"""Sessions of the real Codex under fapo: what lands, what is told, what is refused, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from fapo.agent.protocol import AgentTool
from fapo.errors import UsageError
from fapo.sandbox.policy import Level
from fapo.sandbox.probe import CONFINING
from tests.agent.codex_stage import DOLLAR_A_TOKEN, KEY, CodexStage, stream
from tests.agent.test_hostile_session import ATTEMPTS, CANARY, EDITABLE, files, placed, set_traps

if TYPE_CHECKING:
    from tests.agent.conftest import Block, Played

INERT = {"list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource", "request_user_input"}
"""Tools of Codex's own that stay: they ask fapo's server for what it does not have, or a user who is not there."""

FILE_TOOLS = ("Read", "Edit", "Write", "Glob", "Grep")


@pytest.fixture
def stage(tmp_path: Path) -> CodexStage:
    return CodexStage(tmp_path)


def call(name: str, call_id: str, **arguments: Any) -> Block:
    return {"type": "tool_use", "name": name, "input": arguments, "id": call_id}


def tool(name: str, handler: Any, *, read_only: bool = False) -> AgentTool:
    schema = {"type": "object", "properties": {"verbose": {"type": "boolean"}}}
    return AgentTool(name, "A tool.", schema, handler, read_only)


def test_an_edit_lands_tools_answer_and_events_tell_of_it(stage: CodexStage) -> None:
    asked: list[dict[str, Any]] = []
    prompt = stage.workspace / "pipeline" / "prompts" / "answer.md"

    async def status(arguments: dict[str, Any]) -> str:
        asked.append(arguments)
        return '{"incumbent": "000"}'

    async def refuse(_: dict[str, Any]) -> str:
        raise UsageError("not now")

    played = stage.play(
        [{"type": "text", "text": "I look first."}, call("mcp__fapo__status", "status", verbose=True)],
        [call("Read", "read", file_path=str(prompt))],
        [call("Edit", "edit", file_path=str(prompt), old_string="briefly", new_string="with one word")],
        [call("Write", "write", file_path="pipeline/prompts/new.md", content="New.\n")],
        [call("mcp__fapo__refuse", "refuse")],
        [call("mcp__fapo__status", "wrong", verbose="very")],
        tools=(tool("status", status, read_only=True), tool("refuse", refuse)),
    )
    assert prompt.read_text() == "Answer with one word.\n"
    assert (prompt.parent / "new.md").read_text() == "New.\n"
    assert asked == [{"verbose": True}]
    assert stage.outcome("status") == (False, '{"incumbent": "000"}')
    assert stage.outcome("read") == (False, "     1\tAnswer briefly.")
    assert stage.outcome("refuse") == (True, "error: not now")
    assert stage.outcome("wrong")[0]
    assert played.kinds() == ["text", *["tool"] * 6, "text", "result"]
    result = played.result
    assert (result.status, result.error, result.turns) == ("finished", None, 7)
    assert result.input_tokens is not None
    assert result.output_tokens is not None
    assert result.cost_usd == pytest.approx(DOLLAR_A_TOKEN * (result.input_tokens + result.output_tokens))
    assert result.session_id
    assert result.cli_version == "codex 0.163.0"
    assert stage.processes() == []


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6-sol", "a-model-of-tomorrow"])
def test_the_model_is_offered_fapos_tools_and_none_that_acts(stage: CodexStage, model: str) -> None:
    stage.play(system_prompt="Follow the playbook.", model=model)
    request = json.loads(stage.requests[0])
    offered = {item["name"]: item for item in request["tools"]}
    assert offered.keys() - INERT == {"mcp__fapo"}
    assert {item["name"] for item in offered["mcp__fapo"]["tools"]} == set(FILE_TOOLS)
    texts = [part["text"] for item in request["input"] for part in item["content"]]
    assert texts == ["Follow the playbook.", "Optimize."]
    assert request["model"] == model


def played_hostile(stage: CodexStage) -> tuple[Played, dict[str, str]]:
    set_traps(stage)
    attempts = {
        name: (attempt.tool, placed(attempt, stage)) for name, attempt in ATTEMPTS.items() if attempt.tool in FILE_TOOLS
    }
    for _, arguments in attempts.values():
        arguments.pop("output_mode", None)
    turns = [[call(name, call_id, **arguments)] for call_id, (name, arguments) in attempts.items()]
    before = files(stage.root)
    return stage.play(*turns, editable=lambda: EDITABLE), before


def test_no_file_tool_leaves_the_workspace_or_the_open_levels(stage: CodexStage) -> None:
    played, before = played_hostile(stage)
    assert played.result.status == "finished"
    assert played.kinds().count("denied") > 30
    for name, attempt in ATTEMPTS.items():
        if attempt.tool in FILE_TOOLS:
            failed, answer = stage.outcome(name)
            assert failed or answer in ("no file fits", "not found"), f"{name}: {answer}"
    assert not [body for body in stage.requests if CANARY in body]
    private = ("home/config/", "home/tmp/", "home/user/")
    changed = {path for path, _ in files(stage.root).items() ^ before.items() if not path.startswith(private)}
    assert changed == set()


SHUT: dict[str, dict[str, Any]] = {
    "shell": {"command": ["sh", "-c", "touch pipeline/new.md"]},
    "exec_command": {"cmd": "touch pipeline/new.md"},
    "local_shell": {"command": ["touch", "pipeline/new.md"]},
    "apply_patch": {"input": "*** Begin Patch\n*** Add File: pipeline/new.md\n+hostile\n*** End Patch"},
    "view_image": {"path": "../secret/labels.jsonl"},
    "spawn_agent": {"message": "touch pipeline/new.md"},
    "exec": {"input": "await tools.exec_command({cmd: 'touch pipeline/new.md'})"},
    "read_mcp_resource": {"server": "fapo", "uri": "file:///etc/passwd"},
    "web_search": {"query": "labels"},
}


def test_calls_of_tools_that_are_shut_do_nothing(stage: CodexStage) -> None:
    set_traps(stage)
    before = files(stage.workspace)
    stage.play(*([call(name, name, **arguments)] for name, arguments in SHUT.items()))
    for name in SHUT:
        assert any(sign in stage.outcome(name)[1] for sign in ("unsupported call", "failed", "aborted")), name
    assert files(stage.workspace) == before
    assert not [body for body in stage.requests if CANARY in body or "root:" in body]


def test_a_patch_in_free_form_does_nothing(stage: CodexStage) -> None:
    patch = "*** Begin Patch\n*** Add File: pipeline/new.md\n+hostile\n*** End Patch"
    item = {"type": "custom_tool_call", "id": "ct", "call_id": "patch", "name": "apply_patch", "input": patch}
    done = {"type": "response.completed", "response": {"id": "r", "usage": None}}

    async def ask_once(request: web.Request) -> web.StreamResponse | None:
        if len(stage.requests) > 1:
            return None
        created = {"type": "response.created", "response": {"id": "r"}}
        return await stream(request, created, {"type": "response.output_item.done", "item": item}, done)

    played = stage.play(intercept=ask_once)
    assert played.result.status == "finished"
    assert "unsupported" in stage.outcome("patch")[1]
    assert not (stage.workspace / "pipeline" / "new.md").exists()


def test_the_key_stays_with_fapo(stage: CodexStage) -> None:
    keys: list[str] = []
    found: list[bytes] = []

    async def look(request: web.Request) -> None:
        keys.append(request.headers["Authorization"])
        found.extend(Path(f"/proc/{pid}/environ").read_bytes() for pid in stage.processes())

    stage.play(intercept=look)
    assert set(keys) == {f"Bearer {KEY}"}
    assert found
    assert not any(KEY.encode() in environment for environment in found)
    assert not any(KEY in text for text in files(stage.root).values())


@pytest.mark.parametrize("level", CONFINING)
def test_the_process_itself_cannot_write_the_workspace_nor_read_beside_it(stage: CodexStage, level: Level) -> None:
    secret = stage.put(stage.root / "secret.txt", CANARY)
    script = (
        f"#!/bin/sh\necho hostile > {stage.workspace}/pipeline/new.md\n"
        f"while read -r line; do echo $line > {stage.home}/tmp/stolen; done < {secret}\n"
        f"echo here > {stage.home}/tmp/own\n"
    )
    fake = stage.put(stage.root / "fake", script)
    fake.chmod(0o755)
    played = stage.play(cli=fake, isolation=level)
    assert (played.result.status, played.result.cause) == ("failed", "no_result")
    assert (stage.home / "tmp" / "own").exists()
    assert not (stage.home / "tmp" / "stolen").exists()
    assert not (stage.workspace / "pipeline" / "new.md").exists()


@pytest.mark.parametrize(
    ("status", "error", "cause"),
    [
        (401, {"code": "invalid_api_key", "message": "wrong key"}, "credentials"),
        (429, {"code": "insufficient_quota", "message": "out of credit"}, "billing"),
        (429, {"code": "rate_limit_exceeded", "message": "slow down"}, "rate_limit"),
        (400, {"code": "model_not_found", "message": "no such model"}, "other"),
    ],
)
def test_what_the_endpoint_says_tells_the_cause(
    stage: CodexStage, status: int, error: dict[str, str], cause: str
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": error}, status=status)

    played = stage.play(intercept=refuse)
    assert (played.result.status, played.result.cause) == ("failed", cause)
    assert played.result.turns == 0
    assert stage.processes() == []


def test_an_unknown_price_cannot_hold_a_dollar_limit(stage: CodexStage) -> None:
    played = stage.play(model="unpriced", max_budget_usd=1.0)
    assert (played.result.status, stage.requests) == ("failed", [])
    assert "price of unpriced is unknown" in (played.result.error or "")
    assert stage.play(model="unpriced").result.cost_usd is None


@pytest.mark.parametrize(
    ("changes", "limit", "turns"),
    [({"max_turns": 3}, "3 turns", 3), ({"max_budget_usd": 1.0}, "1.0 dollars", 4)],
)
def test_a_limit_ends_the_session(stage: CodexStage, changes: dict[str, Any], limit: str, turns: int) -> None:
    """However long Codex takes to end, it gets no more replies."""
    look = [[call("Glob", f"look{n}", pattern="*")] for n in range(50)]
    played = stage.play(*look, **changes)
    assert (played.result.status, played.result.error) == ("limit", f"the session reached its limit of {limit}")
    assert played.result.turns == turns
    assert stage.processes() == []


def test_a_stop_cancels_the_tool_that_is_running(stage: CodexStage) -> None:
    stop, cancelled = asyncio.Event(), []

    async def wait(_: dict[str, Any]) -> str:
        stop.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return ""

    played = stage.play([call("mcp__fapo__wait", "wait")], tools=(tool("wait", wait),), stop=stop)
    assert (played.result.status, played.result.error, cancelled) == ("stopped", None, [True])
    assert stage.processes() == []


def test_silence_is_a_stall_and_a_long_tool_is_none(stage: CodexStage) -> None:
    async def long(_: dict[str, Any]) -> str:
        await asyncio.sleep(5.5)
        return "done"

    async def hang_later(request: web.Request) -> None:
        if len(stage.requests) > 1:
            await asyncio.Event().wait()

    played = stage.play(
        [call("mcp__fapo__long", "long")], tools=(tool("long", long),), intercept=hang_later, stall_s=5.0
    )
    assert played.result.status == "stalled"
    assert stage.outcome("long") == (False, "done")


def test_a_fault_in_a_tool_ends_the_session_and_is_raised(stage: CodexStage) -> None:
    async def fail(_: dict[str, Any]) -> str:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        stage.play([call("mcp__fapo__fail", "fail")], tools=(tool("fail", fail),))
    assert stage.processes() == []


def test_a_killed_codex(stage: CodexStage) -> None:
    async def kill(_: dict[str, Any]) -> str:
        for process in stage.processes():
            os.kill(process, signal.SIGKILL)
        return "killed"

    played = stage.play([call("mcp__fapo__kill", "kill")], tools=(tool("kill", kill),))
    assert (played.result.status, played.result.cause) == ("failed", "no_result")
    assert "Codex ended with exit code" in (played.result.error or "")
    assert stage.processes() == []


def test_a_codex_that_is_not_there(stage: CodexStage) -> None:
    played = stage.play(cli=stage.root / "missing")
    assert played.result.status == "failed"
    assert "missing" in (played.result.error or "")
    assert "fapo[codex]" in (played.result.error or "")


PARENT = """
import asyncio, sys
from pathlib import Path
from fapo.agent.codex import CodexAgent
from fapo.agent.protocol import AgentTask

async def main(workspace, url, level):
    home = Path(workspace).parent / "home"
    environment = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "x"}
    rest = ("gpt-5.5", environment, 5, None, 60, asyncio.Event())
    task = AgentTask(Path(workspace), home, "s", "p", (), lambda: (), *rest)
    await CodexAgent(lambda *_: 0.0, isolation=level).run(task, print)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("level", [*CONFINING, "none"])
def test_it_dies_with_a_parent_that_is_killed(stage: CodexStage, level: Level) -> None:
    async def kill_the_parent() -> None:
        asked = asyncio.Event()

        async def note_and_hang(_: web.Request) -> None:
            asked.set()
            await asyncio.Event().wait()

        async with stage.serve([], note_and_hang) as base_url:
            arguments = ["-c", PARENT, str(stage.workspace), base_url, level]
            parent = await asyncio.create_subprocess_exec(sys.executable, *arguments)
            await asked.wait()
            watched = [os.pidfd_open(pid) for pid in stage.processes()]
            assert watched
            parent.kill()
            await parent.wait()
            for handle in watched:
                gone = asyncio.Event()
                asyncio.get_running_loop().add_reader(handle, gone.set)
                async with asyncio.timeout(30):
                    await gone.wait()
                asyncio.get_running_loop().remove_reader(handle)
                os.close(handle)

    asyncio.run(kill_the_parent())
    assert stage.processes() == []
