"""Claude Code as fapo's agent: the seam to claude-agent-sdk, and its only importer.

`ClaudeAgent.run` holds one session: it starts the CLI confined (`confine.py`, `guard.py`, `launch.py`), tells
its messages as events, watches it, and says how it ended. It relies on behaviour observed with claude-agent-sdk
0.2.187 and the CLI that this bundles, 2.1.330; the tests attack exactly that pair.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fapo.agent import confine, guard
from fapo.agent.cage import open_cage, require_way_out
from fapo.agent.inside import SANDBOX_VOICES
from fapo.agent.protocol import (
    AgentCause,
    AgentEvent,
    AgentEventKind,
    AgentResult,
    AgentStatus,
    AgentTask,
    AgentTool,
)
from fapo.agent.watch import STATUS_CAUSES, SilenceWatch, tell
from fapo.config import Isolation
from fapo.errors import FapoError, IsolationError
from fapo.sandbox.landlock import abi_version
from fapo.sandbox.policy import Level
from fapo.sandbox.probe import choose_level

if TYPE_CHECKING:
    import claude_agent_sdk as sdk_types
    from claude_agent_sdk.types import HookContext, HookInput, HookJSONOutput

OnEvent = Callable[[AgentEvent], None]
Cause = AgentStatus | None

# What the SDK logs comes back in the result too; without a handler it would be printed.
_NO_LOG = logging.NullHandler()
_LONGEST_MESSAGE = 64 * 1024 * 1024
_FAREWELL_S = 10.0
_STDERR_LINES = 20
_NAMED_CAUSES: dict[str, AgentCause] = {
    "authentication_failed": "credentials", "billing_error": "billing", "rate_limit": "rate_limit",
    "server_error": "overload",
}  # fmt: skip


class ClaudeAgent:
    """Runs sessions of Claude Code, its whole process confined at `level`.

    `cli` is its executable; by default the SDK's own, else `claude` on PATH. `isolation` is a level, or `auto` for the
    strongest that works here. Raises IsolationError where none does.
    """

    def __init__(self, cli: Path | None = None, *, isolation: Isolation | Level = "auto") -> None:
        self._cli = cli
        self.level: Level = choose_level("auto").level if isolation == "auto" else isolation
        require_way_out(self.level, abi_version())

    async def run(self, task: AgentTask, on_event: OnEvent) -> AgentResult:
        """See `Agent.run`. Raises what a tool's handler raised, unless that was a FapoError, and IsolationError where
        the CLI cannot be confined after all."""
        import claude_agent_sdk as sdk  # noqa: PLC0415  heavy: loaded when an agent starts

        logging.getLogger(sdk.__name__).addHandler(_NO_LOG)
        session = _Session(sdk, task, on_event, self.level)
        cli = self._cli or find_cli(Path(sdk.__file__).parent)
        if cli is None or not cli.is_file():
            where = f" at {cli}" if cli else ""
            return session.end("failed", f"no Claude Code{where}: reinstall claude-agent-sdk, or put `claude` on PATH")
        async with open_cage(task, cli, self.level) as cage:
            return await session.run(confine.write_launcher(task, cli, cage), confine.environment(task, cage))


def find_cli(package: Path) -> Path | None:
    bundled = package / "_bundled" / "claude"
    found = str(bundled) if bundled.is_file() else shutil.which("claude")
    return Path(found) if found else None


class _SdkFault(Exception):
    """Whatever the SDK raised while it was asked for the next message."""


class _Session:
    """One conversation: what was seen of it so far, and the ways in which it can end."""

    def __init__(self, sdk: Any, task: AgentTask, on_event: OnEvent, level: Level) -> None:
        self._sdk = sdk
        self._level = level
        self._task = task
        self._on_event = on_event
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._result: sdk_types.ResultMessage | None = None
        self._cli_version: str | None = None
        self._session_id: str | None = None
        self._replies: set[str] = set()
        self._model_error: str | None = None
        self._calls: dict[str, str] = {}
        self._denied: set[str] = set()
        self._watch = SilenceWatch(task.stall_s)
        self._bug: Exception | None = None
        self._broken = asyncio.Event()

    async def run(self, launcher: Path, environment: dict[str, str]) -> AgentResult:
        client: sdk_types.ClaudeSDKClient = self._sdk.ClaudeSDKClient(self._options(launcher, environment))
        try:
            cause, fault = await self._until_over(client)
        finally:
            await client.disconnect()
        if self._bug is not None:
            raise self._bug
        if fault is not None and self._cli_version is None:
            self._require_confined()
        return self.end(*self._verdict(cause, fault))

    # -- what the session is given

    def _options(self, launcher: Path, environment: dict[str, str]) -> sdk_types.ClaudeAgentOptions:
        sdk, task = self._sdk, self._task
        server = sdk.create_sdk_mcp_server("fapo", tools=[self._offer(tool) for tool in task.tools])
        options: sdk_types.ClaudeAgentOptions = sdk.ClaudeAgentOptions(
            tools=list(guard.TOOLS),
            allowed_tools=confine.allow_rules(task),
            disallowed_tools=list(confine.DENIED_TOOLS),
            # As settings: in `disallowed_tools` a comma or a parenthesis in a path would split the rule.
            settings=json.dumps({"permissions": {"deny": confine.deny_rules(task)}}),
            permission_mode="dontAsk",
            hooks={"PreToolUse": [sdk.HookMatcher(matcher=None, hooks=[self._guard], on_failure="block")]},
            setting_sources=[],
            mcp_servers={"fapo": server},
            strict_mcp_config=True,
            verbatim_prompts=True,
            system_prompt=task.system_prompt,
            model=task.model,
            max_turns=task.max_turns,
            max_budget_usd=task.max_budget_usd,
            cwd=task.workspace,
            cli_path=launcher,
            env=environment,
            stderr=self._stderr.append,
            max_buffer_size=_LONGEST_MESSAGE,
            include_partial_messages=True,  # signs of life, without which a long reply would look like a stall
        )
        return options

    def _offer(self, tool: AgentTool) -> Any:
        async def handle(arguments: dict[str, Any]) -> dict[str, Any]:
            with self._watch.tool():
                try:
                    return _tool_reply(await tool.handler(arguments))
                except FapoError as error:
                    return {**_tool_reply(str(error)), "is_error": True}
                except Exception as bug:
                    self._bug = bug
                    self._broken.set()
                    raise

        schema = {"type": "object", "properties": {}, **tool.input_schema}
        hints = self._sdk.ToolAnnotations(readOnlyHint=tool.read_only)
        return self._sdk.tool(tool.name, tool.description, schema, annotations=hints)(handle)

    async def _guard(self, call: HookInput, call_id: str | None, _: HookContext) -> HookJSONOutput:
        """Refuse a call, or have no opinion: an answer of `allow` would set the permission rules aside."""
        name, arguments = str(call.get("tool_name")), cast(dict[str, Any], call.get("tool_input"))
        try:
            editable = self._task.editable() if name in ("Edit", "Write") else ()
            workspace = self._task.workspace.absolute()
            reason = guard.check(name, arguments, workspace=workspace, editable=editable)
        except Exception as error:
            self._deny(name, arguments, f"the guard failed: {error!r}", call_id)
            raise
        if reason is None:
            return {}
        self._deny(name, arguments, reason, call_id)
        return {
            "hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": "deny",
                "permissionDecisionReason": reason,
            }
        }

    def _deny(self, name: str, arguments: dict[str, Any], reason: str, call_id: str | None) -> None:
        self._denied.add(call_id or "")
        self._tell("denied", f"{name}: {reason}", {"name": name, "input": arguments, "reason": reason})

    # -- how it runs

    async def _until_over(self, client: sdk_types.ClaudeSDKClient) -> tuple[Cause, _SdkFault | None]:
        """Converse until the session ends by itself, or is ended: then the first item says why."""
        conversation = asyncio.create_task(self._converse(client))
        stop = asyncio.create_task(self._task.stop.wait())
        silence = asyncio.create_task(self._watch.silence())
        broken = asyncio.create_task(self._broken.wait())
        tasks: list[asyncio.Task[Any]] = [conversation, stop, silence, broken]
        cause: Cause = None
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not conversation.done():
                cause = "stopped" if stop.done() else "stalled" if silence.done() else "failed"
        finally:
            if not conversation.done():
                await self._interrupt(client, conversation)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return cause, None if conversation.cancelled() else conversation.result()

    async def _converse(self, client: sdk_types.ClaudeSDKClient) -> _SdkFault | None:
        try:
            async with aclosing(self._messages(client)) as messages:
                async for message in messages:
                    self._watch.heard()
                    self._take(message)
        except _SdkFault as fault:
            return fault
        return None

    async def _messages(self, client: sdk_types.ClaudeSDKClient) -> AsyncGenerator[sdk_types.Message, None]:
        try:
            await client.connect()
            await client.query(self._task.prompt)
            async for message in client.receive_response():
                yield message
        except Exception as error:  # the SDK raises bare Exception too, and all mean the same: no next message
            code = error.exit_code if isinstance(error, self._sdk.ProcessError) else None
            raise _SdkFault(str(error) if code is None else f"Claude Code ended with exit code {code}") from error

    async def _interrupt(self, client: sdk_types.ClaudeSDKClient, conversation: asyncio.Task[Any]) -> None:
        """Ask the CLI to end its turn: its result, with the cost, still arrives, and it exits sooner."""
        asked = asyncio.create_task(client.interrupt())
        waits: list[asyncio.Task[Any]] = [asked, conversation]
        await asyncio.wait(waits, timeout=_FAREWELL_S, return_when=asyncio.FIRST_COMPLETED)
        if asked.done() and asked.exception() is None:
            await asyncio.wait([conversation], timeout=_FAREWELL_S)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

    # -- what it tells

    def _tell(self, kind: AgentEventKind, summary: str, detail: dict[str, Any]) -> None:
        tell(self._on_event, kind, summary, detail)

    def _take(self, message: sdk_types.Message) -> None:
        sdk = self._sdk
        if isinstance(message, sdk.ResultMessage):
            self._result = message
        elif isinstance(message, sdk.AssistantMessage):
            self._replies.add(message.message_id or "")
            self._model_error = message.error
            for block in message.content:
                self._take_block(block)
        elif isinstance(message, sdk.UserMessage) and isinstance(message.content, list):
            for block in message.content:
                self._take_block(block)
        elif isinstance(message, sdk.SystemMessage) and message.subtype == "init":
            self._session_id = message.data.get("session_id")
            self._cli_version = message.data.get("claude_code_version")
        elif isinstance(message, sdk.SystemMessage) and message.subtype == "api_retry":
            status = message.data.get("error_status") or message.data.get("error")
            self._tell("retry", f"the model's endpoint failed ({status}), trying again", dict(message.data))

    def _take_block(self, block: Any) -> None:
        sdk = self._sdk
        if isinstance(block, sdk.TextBlock):
            self._tell("text", block.text, {"text": block.text})
        elif isinstance(block, sdk.ToolUseBlock):
            self._calls[block.id] = block.name
            shown = json.dumps(block.input, ensure_ascii=False)
            self._tell("tool", f"{block.name} {shown}", {"name": block.name, "input": block.input})
        elif isinstance(block, sdk.ToolResultBlock) and block.is_error and block.tool_use_id not in self._denied:
            name, error = self._calls.get(block.tool_use_id, "a tool"), _text(block.content)
            self._tell("tool", f"{name} failed: {error}", {"name": name, "error": error})

    # -- how it ended

    def _verdict(self, cause: Cause, fault: _SdkFault | None) -> tuple[AgentStatus, str | None]:
        """Go by `is_error`: `subtype` says `success` even of an endpoint that refused every request."""
        result, task = self._result, self._task
        if cause == "stalled":
            return "stalled", f"nothing was heard from the model for {task.stall_s:g} s"
        if result is not None and not result.is_error:
            return "finished", None
        if cause == "stopped":
            return "stopped", None
        if result is None:
            return "failed", self._with_stderr(str(fault) if fault else "the session ended without a result")
        if result.subtype == "error_max_turns":
            return "limit", f"the session reached its limit of {task.max_turns} turns"
        if result.subtype == "error_max_budget_usd":
            return "limit", f"the session reached its limit of {task.max_budget_usd} dollars"
        told = "; ".join(result.errors or []) or result.result or result.terminal_reason or result.subtype
        return "failed", " ".join(told.split())

    def _cause(self) -> AgentCause:
        """Why a session failed: as the CLI calls the error, else by the status that its model's API gave."""
        if self._result is None:
            return "no_result"
        if named := _NAMED_CAUSES.get(self._model_error or ""):
            return named
        code = self._result.api_error_status or 0
        return STATUS_CAUSES.get(code, "overload" if code >= 500 else "other")

    def _require_confined(self) -> None:
        for line in self._stderr:
            if line.startswith(SANDBOX_VOICES):
                raise IsolationError(f"Claude Code cannot be confined here: {line}")

    def _with_stderr(self, error: str) -> str:
        return " ".join(" | ".join([error, *self._stderr]).split())

    def end(self, status: AgentStatus, error: str | None) -> AgentResult:
        """Tell the end, and return the result with what is known of turns, tokens and cost."""
        last = self._result
        usage = (last.usage if last else None) or {}
        kinds = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        result = AgentResult(
            status=status,
            error=error,
            turns=last.num_turns if last else len(self._replies),
            cost_usd=last.total_cost_usd if last else None,
            input_tokens=sum(usage.get(kind) or 0 for kind in kinds) if usage else None,
            output_tokens=usage.get("output_tokens"),
            session_id=last.session_id if last else self._session_id,
            sdk_version=self._sdk.__version__,
            cli_version=self._cli_version,
            level=self._level,
            cause=self._cause() if status == "failed" else None,
        )
        detail = {"status": status, "error": error, "turns": result.turns, "cost_usd": result.cost_usd}
        self._tell("result", f"{status}: {error}" if error else status, detail)
        return result


def _tool_reply(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}]}


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return " ".join(str(item.get("text", "")) for item in content)
    return content or ""
