"""Sessions that go well, on the real CLI: what lands, what is told, and what the CLI's process is given."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from fapo.agent.protocol import AgentTool
from fapo.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.agent.conftest import Block, Stage


def say(text: str) -> Block:
    return {"type": "text", "text": text}


def call(name: str, call_id: str, **arguments: Any) -> Block:
    return {"type": "tool_use", "name": name, "input": arguments, "id": call_id}


def status_tool(answers: list[dict[str, Any]]) -> AgentTool:
    async def status(arguments: dict[str, Any]) -> str:
        answers.append(arguments)
        return '{"incumbent": "000"}'

    schema = {"type": "object", "properties": {"verbose": {"type": "boolean"}}}
    return AgentTool("status", "The state of the run.", schema, status, read_only=True)


def failing_tool(error: Exception) -> AgentTool:
    async def fail(_: dict[str, Any]) -> str:
        raise error

    return AgentTool("fail", "Fails.", {"type": "object"}, fail, read_only=False)


def test_an_edit_lands_tools_answer_and_events_tell_of_it(stage: Stage) -> None:
    asked: list[dict[str, Any]] = []
    prompt = stage.workspace / "pipeline" / "prompts" / "answer.md"
    played = stage.play(
        [say("I look first."), call("mcp__fapo__status", "status", verbose=True)],
        [call("Read", "read", file_path=str(prompt))],
        [call("Edit", "edit", file_path=str(prompt), old_string="briefly", new_string="with one word")],
        [call("Write", "write", file_path="pipeline/prompts/new.md", content="New.\n")],
        tools=(status_tool(asked),),
    )
    assert prompt.read_text() == "Answer with one word.\n"
    assert (prompt.parent / "new.md").read_text() == "New.\n"
    assert asked == [{"verbose": True}]
    assert '{\\"incumbent\\": \\"000\\"}' in stage.outcome("status")[1].replace("\\\\", "\\")
    assert [event.kind for event in played.events] == ["text", *["tool"] * 4, "text", "result"]
    assert played.events[0].summary == "I look first."
    assert played.events[3].detail["name"] == "Edit"
    result = played.result
    assert (result.status, result.error, result.turns) == ("finished", None, 5)
    assert result.cost_usd is not None
    assert result.input_tokens is not None
    assert result.input_tokens > 1000
    assert result.output_tokens
    assert result.session_id
    assert result.cli_version


def test_the_model_is_offered_five_tools_and_fapos_own(stage: Stage) -> None:
    stage.play(tools=(status_tool([]),))
    offered = {tool["name"] for tool in json.loads(stage.requests[0])["tools"]}
    assert offered == {"Read", "Edit", "Write", "Glob", "Grep", "mcp__fapo__status"}


def test_the_system_prompt_is_fapos(stage: Stage) -> None:
    stage.play(system_prompt="Follow the playbook.", prompt="Begin.")
    request = json.loads(stage.requests[0])
    assert request["system"][-1]["text"] == "Follow the playbook."
    assert request["messages"][0]["content"][-1]["text"] == "Begin."


def test_a_level_that_opens_in_the_session_becomes_editable(stage: Stage) -> None:
    globs = ["pipeline/prompts/*.md"]

    async def open_structure(_: dict[str, Any]) -> str:
        globs.append("pipeline/**/*.py")
        return "open"

    opener = AgentTool("request_level", "Opens a level.", {"type": "object"}, open_structure, read_only=False)
    played = stage.play(
        [call("Write", "before", file_path="pipeline/search.py", content="early")],
        [call("mcp__fapo__request_level", "open")],
        [call("Write", "after", file_path="pipeline/search.py", content="late")],
        tools=(opener,),
        editable=lambda: tuple(globs),
    )
    assert stage.outcome("before")[0]
    assert not stage.outcome("after")[0]
    assert (stage.workspace / "pipeline" / "search.py").read_text() == "late"
    assert played.kinds().count("denied") == 1


def test_a_guard_that_raises_blocks(stage: Stage) -> None:
    def editable() -> tuple[str, ...]:
        if asked:
            raise ZeroDivisionError
        asked.append(1)
        return ("pipeline/prompts/*.md",)

    asked: list[int] = []
    played = stage.play([call("Write", "write", file_path="pipeline/prompts/new.md", content="x")], editable=editable)
    assert stage.outcome("write")[0]
    assert not (stage.workspace / "pipeline" / "prompts" / "new.md").exists()
    assert [event.summary for event in played.events if event.kind == "denied"] == [
        "Write: the guard failed: ZeroDivisionError()"
    ]


def test_an_expected_error_of_a_tool_is_told_to_the_agent(stage: Stage) -> None:
    played = stage.play([call("mcp__fapo__fail", "fail")], tools=(failing_tool(UsageError("variants are used up")),))
    failed, answer = stage.outcome("fail")
    assert failed
    assert "variants are used up" in answer
    assert played.result.status == "finished"


def test_a_bug_in_a_tool_ends_the_session_and_is_raised(stage: Stage) -> None:
    with pytest.raises(ZeroDivisionError):
        stage.play([call("mcp__fapo__fail", "fail")], tools=(failing_tool(ZeroDivisionError()),))
    assert stage.processes() == []


def test_one_failed_request_is_a_retry_and_no_failure(stage: Stage) -> None:
    async def overloaded_once(_: web.Request) -> web.Response | None:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        return web.json_response(error, status=529) if len(stage.requests) == 1 else None

    played = stage.play(intercept=overloaded_once)
    assert played.kinds() == ["retry", "text", "result"]
    assert played.result.status == "finished"


def test_the_parents_environment_changes_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    headers: list[dict[str, str]] = []

    async def look(request: web.Request) -> None:
        headers.append({name.lower(): value for name, value in request.headers.items()})

    monkeypatch.setenv("ANTHROPIC_MODEL", "claude-canary")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "canary")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-canary: 1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("CLAUDE_CODE_USE_BEDROCK", "1")
    played = stage.play(intercept=look)
    assert played.result.status == "finished"
    assert {json.loads(body)["model"] for body in stage.requests} == {stage.task("").model}
    assert all("authorization" not in seen and "x-canary" not in seen for seen in headers)
    assert headers[0]["x-api-key"] == "not-a-key"


def test_the_cli_gets_named_variables_only(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = stage.put(stage.root / "fake", '#!/bin/sh\nexport -p > "$TMPDIR/seen"\nexit 3\n')
    fake.chmod(0o755)
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    monkeypatch.setenv("IS_SANDBOX", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ"):
        monkeypatch.delenv(name, raising=False)
    stage.play(cli=fake)
    lines = (stage.home / "tmp" / "seen").read_text().splitlines()
    seen = {name: shlex.split(value)[0] for name, _, value in (line.split(" ", 1)[1].partition("=") for line in lines)}
    added_by_shell_and_bubblewrap = {"SHLVL", "_", "OLDPWD"}
    assert seen.keys() - added_by_shell_and_bubblewrap == {
        "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "CLAUDE_AGENT_SDK_VERSION", "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_MAX_RETRIES",
        "CLAUDE_CODE_SDK_READS_SESSION_STATE", "CLAUDE_CODE_TMPDIR", "CLAUDE_CONFIG_DIR", "ENABLE_TOOL_SEARCH",
        "HOME", "LANG",
        "NO_PROXY", "PATH", "PWD", "TMPDIR", "no_proxy",
    }  # fmt: skip
    assert all(is_below(stage.home, seen[name]) for name in ("HOME", "CLAUDE_CONFIG_DIR", "TMPDIR"))


def is_below(folder: Path, path: str) -> bool:
    return path.startswith(f"{folder}/")


def test_no_key_is_written_to_a_file(stage: Stage) -> None:
    stage.play(environment={"ANTHROPIC_API_KEY": "canary-key-71"})
    files = [path for path in stage.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert stage.home / "claude" in files
    assert not [path for path in files if b"canary-key-71" in path.read_bytes()]


def test_the_private_directory_is_closed_to_other_users(stage: Stage) -> None:
    stage.home.mkdir(mode=0o755)
    stage.play()
    assert stage.home.stat().st_mode & 0o077 == 0
