"""Codex as fapo's agent: the same tools, rules and sandbox as Claude Code's, through `codex exec`.

All that the model can do goes through fapo: Codex's own tools are shut, its model's entry in the catalogue is fapo's
(the one that Codex brings would add a shell, patches and sub-agents, whatever the features say), and files are read
and written by tools of fapo's over MCP. The process has its workspace read-only, and fapo's proxy as its only way out,
with a token in the place of the key. It relies on behaviour observed with openai-codex-cli-bin 0.163.0.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from importlib import metadata, util
from pathlib import Path
from typing import Any

from fapo.agent import launch
from fapo.agent.cage import PRIVATE, Cage, agent_policy, require_way_out, served
from fapo.agent.credentials import openai_key
from fapo.agent.files import file_tools
from fapo.agent.inside import SANDBOX_VOICES
from fapo.agent.mcp import McpEndpoint
from fapo.agent.protocol import (
    AgentCause,
    AgentEvent,
    AgentEventKind,
    AgentResult,
    AgentStatus,
    AgentTask,
    AgentTool,
)
from fapo.agent.proxy import ApiProxy
from fapo.agent.watch import STATUS_CAUSES, SilenceWatch, tell
from fapo.config import Isolation
from fapo.errors import FapoError, IsolationError
from fapo.sandbox.landlock import abi_version
from fapo.sandbox.policy import Level
from fapo.sandbox.probe import choose_level

DISTRIBUTION = "openai-codex-cli-bin"
RESPONSES_API = frozenset({"/responses"})
_TOOLS_PATH = "/mcp"
_TOKEN_VARIABLE = "FAPO_TOKEN"  # noqa: S105  a name
_CONTEXT_TOKENS = 200_000
_LONGEST_TOOL_S = 7 * 24 * 3600
_FAREWELL_S = 5.0
_LONGEST_LINE = 64 * 1024 * 1024
_STDERR_LINES = 20
_NAMED_CAUSES: dict[str, AgentCause] = {
    "invalid_api_key": "credentials", "insufficient_quota": "billing", "rate_limit_exceeded": "rate_limit",
    "server_error": "overload", "server_is_overloaded": "overload", "slow_down": "overload",
}  # fmt: skip
_FEATURES_OFF = (
    "apps", "browser_use", "code_mode_host", "computer_use", "goals", "hooks", "image_generation", "multi_agent",
    "plugins", "shell_snapshot", "shell_tool", "skill_search", "sleep_tool", "tool_suggest", "unified_exec",
    "view_image",
)  # fmt: skip

Price = Callable[[str, int, int, int], float | None]


class CodexAgent:
    """Runs sessions of Codex, its whole process confined at `level`.

    `price(model, input tokens, of them cached, output tokens)` is in dollars, None where it is unknown. `cli` is the
    executable; by default that of the extra `codex`, else `codex` on PATH. Raises IsolationError where no level works.
    """

    def __init__(self, price: Price, cli: Path | None = None, *, isolation: Isolation | Level = "auto") -> None:
        self._price = price
        self._cli = cli
        self.level: Level = choose_level("auto").level if isolation == "auto" else isolation
        require_way_out(self.level, abi_version())

    async def run(self, task: AgentTask, on_event: Callable[[AgentEvent], None]) -> AgentResult:
        """See `Agent.run`. Raises what a tool's handler raised, unless that was a FapoError, and IsolationError."""
        session = _Session(task, on_event, self.level, self._price)
        cli = self._cli or find_cli()
        if cli is None or not cli.is_file():
            where = f" at {cli}" if cli else ""
            return session.end("failed", f'no Codex{where}: pip install "fapo[codex]", or put `codex` on PATH')
        token = secrets.token_urlsafe(32)
        proxy = ApiProxy(
            openai_key(task.environment).current,
            token,
            task.environment,
            paths=RESPONSES_API,
            local={_TOOLS_PATH: session.endpoint.answer},
            observe=session.observe,
            refuse=session.limit_reached,
        )
        async with served(proxy, self.level) as (port, handover):
            policy = agent_policy(task, cli, self.level, port)
            workspace = task.workspace.absolute()
            shut = replace(
                policy,
                read=(*policy.read, workspace),
                write=tuple(path for path in policy.write if path != workspace),
            )
            cage = Cage(self.level, shut, _variables(task, token), port, handover)
            return await session.run(cage, cli)


def find_cli() -> Path | None:
    if util.find_spec("codex_cli_bin") is not None:
        import codex_cli_bin  # noqa: PLC0415  an extra

        return Path(codex_cli_bin.bundled_codex_path())
    found = shutil.which("codex")
    return Path(found) if found else None


def _variables(task: AgentTask, token: str) -> dict[str, str]:
    home = task.home.absolute()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ") if name in os.environ}
    return {
        **kept,
        "HOME": str(home / "user"),
        "CODEX_HOME": str(home / "config"),
        "TMPDIR": str(home / "tmp"),
        "NO_PROXY": "127.0.0.1",
        _TOKEN_VARIABLE: token,
    }


def _configuration(task: AgentTask, port: int) -> dict[str, Any]:
    """Codex's config.toml, as a nested dict."""
    address = f"http://127.0.0.1:{port}"
    return {
        "model": task.model,
        "model_provider": "fapo",
        "model_catalog_json": str(_catalogue(task)),
        "approval_policy": "never",
        "sandbox_mode": "read-only",
        "web_search": "disabled",
        "project_doc_max_bytes": 0,
        "check_for_update_on_startup": False,
        "include_permissions_instructions": False,
        "include_environment_context": False,
        "model_providers": {
            "fapo": {"name": "fapo", "base_url": address, "env_key": _TOKEN_VARIABLE, "wire_api": "responses"}
        },
        "mcp_servers": {
            "fapo": {
                "url": address + _TOOLS_PATH,
                "bearer_token_env_var": _TOKEN_VARIABLE,
                "required": True,
                "startup_timeout_sec": 60,
                "tool_timeout_sec": _LONGEST_TOOL_S,
                "default_tools_approval_mode": "approve",
            }
        },
        "analytics": {"enabled": False},
        "history": {"persistence": "none"},
        "skills": {"include_instructions": False, "bundled": {"enabled": False}},
        "features": dict.fromkeys(_FEATURES_OFF, False),
    }


def _catalogue(task: AgentTask) -> Path:
    return task.home.absolute() / "config" / "models.json"


def _model_entry(task: AgentTask) -> dict[str, Any]:
    """The model as Codex is to see it: with no tools of Codex's own, and with fapo's playbook as its instructions."""
    return {
        "slug": task.model,
        "display_name": task.model,
        "description": "",
        "base_instructions": task.system_prompt,
        "shell_type": "disabled",
        "apply_patch_tool_type": None,
        "experimental_supported_tools": [],
        "supports_search_tool": False,
        "supports_parallel_tool_calls": False,
        "include_skills_usage_instructions": False,
        "input_modalities": ["text"],
        "context_window": _CONTEXT_TOKENS,
        "truncation_policy": {"mode": "tokens", "limit": 50_000},
        "default_reasoning_level": "medium",
        "supported_reasoning_levels": [{"effort": "medium", "description": ""}],
        "supports_reasoning_summaries": True,
        "default_reasoning_summary": "none",
        "support_verbosity": False,
        "default_verbosity": None,
        "visibility": "list",
        "supported_in_api": True,
        "priority": 0,
        "availability_nux": None,
        "upgrade": None,
    }


def _toml(table: Mapping[str, Any], name: str = "") -> str:
    """A nested dict as TOML. JSON's texts, numbers and booleans are TOML's too."""
    lines = [f"[{name}]"] if name else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", _toml(value, f"{name}.{key}" if name else key)]
    return "\n".join(lines)


@dataclass(slots=True)
class _Meter:
    """What the model's API was heard to say: replies, tokens, dollars, and the last error."""

    price: Callable[[int, int, int], float | None]
    replies: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    wants_tool: bool = False
    cause: AgentCause | None = None
    _rest: bytes = field(default=b"", repr=False)

    def feed(self, status: int, piece: bytes) -> bool:
        """Take a piece of a reply; whether a whole reply ended in it."""
        if not piece:
            return False
        if status != 200:
            self.cause = STATUS_CAUSES.get(status, "overload" if status >= 500 else "other")
            if b"insufficient_quota" in piece:
                self.cause = "billing"
            return False
        before = self.replies
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                with suppress(ValueError, AttributeError):
                    self._take(json.loads(line[5:]))
        return self.replies > before

    def _take(self, event: dict[str, Any]) -> None:
        kind, response = event.get("type"), event.get("response") or {}
        if kind == "response.created":
            self.wants_tool = False
        elif kind == "response.output_item.done":
            self.wants_tool |= event.get("item", {}).get("type") == "function_call"
        elif kind == "response.failed":
            self.cause = _NAMED_CAUSES.get((response.get("error") or {}).get("code") or "", "other")
        elif kind in ("response.completed", "response.incomplete"):
            self.cause = None
            self.replies += 1
            usage = response.get("usage") or {}
            asked, said = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
            cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0
            cost = self.price(asked, cached, said)
            self.input_tokens += asked
            self.output_tokens += said
            self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost


class _Session:
    """One conversation: what was seen of it so far, and the ways in which it can end."""

    def __init__(self, task: AgentTask, on_event: Callable[[AgentEvent], None], level: Level, price: Price) -> None:
        self._task = task
        self._on_event = on_event
        self._level = level
        self._meter = _Meter(lambda *tokens: price(task.model, *tokens))
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._thread: str | None = None
        self._completed = False
        self._error: str | None = None
        self._limit: str | None = None
        self._over_limit = asyncio.Event()
        self._broken = asyncio.Event()
        self._bug: Exception | None = None
        self._writing = asyncio.Lock()
        self._watch = SilenceWatch(task.stall_s)
        self.endpoint = McpEndpoint((*file_tools(task, self._denied), *task.tools), self._call)

    async def run(self, cage: Cage, cli: Path) -> AgentResult:
        if self._task.max_budget_usd is not None and self._meter.price(1, 0, 1) is None:
            return self.end("failed", f"the price of {self._task.model} is unknown, so no dollar limit can be held")
        process = await self._start(cage, cli)
        try:
            cause = await self._until_over(process)
        finally:
            await _end(process)
        if self._bug is not None:
            raise self._bug
        if self._thread is None:
            self._require_confined()
        return self.end(*self._verdict(cause, process.returncode))

    def observe(self, status: int, piece: bytes) -> None:
        """Hear a piece of the model's reply, on its way through the proxy."""
        self._watch.heard()
        if not self._meter.feed(status, piece):
            return
        task, cost = self._task, self._meter.cost_usd
        if self._meter.wants_tool and self._meter.replies >= task.max_turns:
            self._limit = f"{task.max_turns} turns"
        if task.max_budget_usd is not None and cost is not None and cost >= task.max_budget_usd:
            self._limit = f"{task.max_budget_usd} dollars"
        if self._limit:
            self._over_limit.set()

    def limit_reached(self) -> str | None:
        """Why no more is asked of the model: Codex takes its time to end, and would go on meanwhile."""
        return self._limit and f"the session reached its limit of {self._limit}"

    # -- tools

    async def _call(self, tool: AgentTool, arguments: dict[str, Any]) -> tuple[str, bool]:
        with self._watch.tool():
            try:
                async with nullcontext() if tool.read_only else self._writing:
                    return await tool.handler(arguments), False
            except FapoError as error:
                return str(error), True
            except Exception as bug:
                self._bug = bug
                self._broken.set()
                raise

    def _denied(self, name: str, arguments: dict[str, Any], reason: str) -> None:
        self._tell("denied", f"{name}: {reason}", {"name": name, "input": arguments, "reason": reason})

    # -- how it runs

    async def _start(self, cage: Cage, cli: Path) -> asyncio.subprocess.Process:
        task = self._task
        for folder in PRIVATE:
            (task.home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        task.home.chmod(0o700)
        _catalogue(task).write_text(json.dumps({"models": [_model_entry(task)]}), encoding="utf-8")
        settings = _toml(_configuration(task, cage.port))
        (task.home / "config" / "config.toml").write_text(settings, encoding="utf-8")
        given = ["exec", "--json", "--strict-config", "--ephemeral", "--skip-git-repo-check", "-"]
        command = [sys.executable, "-I", launch.__file__, str(os.getpid()), ",".join(cage.environment)]
        process = await asyncio.create_subprocess_exec(
            *command, *cage.command(cli), *given,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=dict(cage.environment), cwd=task.workspace, start_new_session=True, limit=_LONGEST_LINE,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(task.prompt.encode())
        process.stdin.close()
        return process

    async def _until_over(self, process: asyncio.subprocess.Process) -> AgentStatus | None:
        conversation = asyncio.gather(self._listen(process), self._keep_stderr(process), process.wait())
        ends = {
            "stopped": asyncio.create_task(self._task.stop.wait()),
            "limit": asyncio.create_task(self._over_limit.wait()),
            "failed": asyncio.create_task(self._broken.wait()),
            "stalled": asyncio.create_task(self._watch.silence()),
        }  # type: dict[AgentStatus, asyncio.Task[Any]]
        try:
            await asyncio.wait([conversation, *ends.values()], return_when=asyncio.FIRST_COMPLETED)
            if conversation.done():
                conversation.result()
                return None
            return next(status for status, task in ends.items() if task.done())
        finally:
            for task in (conversation, *ends.values()):
                task.cancel()
            await asyncio.gather(conversation, *ends.values(), return_exceptions=True)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._watch.heard()
            with suppress(ValueError):
                if isinstance(event := json.loads(line), dict):
                    self._take(event)

    async def _keep_stderr(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self._stderr.append(line.decode(errors="replace").strip())

    # -- what it tells

    def _tell(self, kind: AgentEventKind, summary: str, detail: dict[str, Any]) -> None:
        tell(self._on_event, kind, summary, detail)

    def _take(self, event: dict[str, Any]) -> None:
        kind, item = event.get("type"), event.get("item") or {}
        if kind == "thread.started":
            self._thread = event.get("thread_id")
        elif kind == "turn.completed":
            self._completed = True
        elif kind == "turn.failed":
            self._error = str((event.get("error") or {}).get("message") or "the turn failed")
        elif kind == "error":
            self._tell("retry", str(event.get("message")), event)
        elif item.get("type") == "agent_message" and kind == "item.completed":
            self._tell("text", item.get("text", ""), {"text": item.get("text", "")})
        elif item.get("type") == "mcp_tool_call":
            self._take_call(str(kind), item)

    def _take_call(self, kind: str, item: dict[str, Any]) -> None:
        name, arguments = str(item.get("tool")), item.get("arguments")
        if kind == "item.started":
            shown = json.dumps(arguments, ensure_ascii=False)
            self._tell("tool", f"{name} {shown}", {"name": name, "input": arguments})
        elif kind == "item.completed" and item.get("error"):
            error = str(item["error"].get("message"))
            self._tell("tool", f"{name} failed: {error}", {"name": name, "error": error})

    # -- how it ended

    def _verdict(self, cause: AgentStatus | None, code: int | None) -> tuple[AgentStatus, str | None]:
        if cause == "stalled":
            return "stalled", f"nothing was heard from the model for {self._task.stall_s:g} s"
        if self._completed or cause == "stopped":
            return "finished" if self._completed else "stopped", None
        if limit := self.limit_reached():
            return "limit", limit
        if self._error is not None:
            return "failed", " ".join(self._error.split())
        return "failed", " ".join(" | ".join([f"Codex ended with exit code {code}", *self._stderr]).split())

    def _require_confined(self) -> None:
        for line in self._stderr:
            if line.startswith(SANDBOX_VOICES):
                raise IsolationError(f"Codex cannot be confined here: {line}")

    def end(self, status: AgentStatus, error: str | None) -> AgentResult:
        """Tell the end, and return the result with what is known of turns, tokens and cost."""
        meter, failed = self._meter, status == "failed"
        cause: AgentCause = meter.cause or ("other" if self._error else "no_result")
        result = AgentResult(
            status=status,
            error=error,
            turns=meter.replies,
            cost_usd=meter.cost_usd,
            input_tokens=meter.input_tokens,
            output_tokens=meter.output_tokens,
            session_id=self._thread,
            sdk_version="",
            cli_version=_version(),
            level=self._level,
            cause=cause if failed else None,
        )
        detail = {"status": status, "error": error, "turns": result.turns, "cost_usd": result.cost_usd}
        self._tell("result", f"{status}: {error}" if error else status, detail)
        return result


def _version() -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return f"codex {metadata.version(DISTRIBUTION)}"
    return None


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process and all that it started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
