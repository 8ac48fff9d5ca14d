"""The coding agent's nouns: what it is given, what it tells while it works, and how its session ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from fapo.sandbox.policy import Level

AgentEventKind = Literal["text", "tool", "denied", "retry", "result"]
AgentStatus = Literal["finished", "stopped", "failed", "stalled", "limit"]
AgentCause = Literal["credentials", "billing", "rate_limit", "overload", "no_result", "other"]


@dataclass(frozen=True, slots=True)
class AgentTool:
    """One of fapo's tools. `input_schema` is a JSON Schema; the handler's answer goes to the agent as text.

    A FapoError from the handler is told to the agent as a tool error; anything else that it raises ends the
    session and is raised by `Agent.run`. Calls of tools that are not `read_only` run one after another.
    """

    name: str
    description: str
    input_schema: dict[str, Any]
    handler: Callable[[dict[str, Any]], Awaitable[str]]
    read_only: bool


@dataclass(frozen=True, slots=True)
class AgentTask:
    """One session of the agent.

    workspace: its working directory, and all that it may read.
    home: private to the agent's process and hidden from the agent; HOME, CLAUDE_CONFIG_DIR and TMPDIR lie below.
    editable: globs relative to the workspace that may be written now; asked at each write. A glob that opens later
        must begin with the same directory as one that is there when the session starts.
    environment: credentials, and what it takes to reach the endpoint. Of the rest of the parent's environment the
        agent's process gets PATH, locale and time zone.
    max_budget_usd: by the agent's own price list.
    stall_s: seconds without a sign of life from the model, while no tool of fapo's is running.
    stop: ends the session when set.
    """

    workspace: Path
    home: Path
    system_prompt: str
    prompt: str
    tools: tuple[AgentTool, ...]
    editable: Callable[[], tuple[str, ...]]
    model: str
    environment: Mapping[str, str] = field(repr=False)
    max_turns: int
    max_budget_usd: float | None
    stall_s: float
    stop: asyncio.Event


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """Something that happened in a session. `summary` is one line.

    detail: of `text` {text}; of `tool` {name, input}, and {name, error} if the call fails; of `denied` {name, input,
    reason}; of `retry` what the agent's process reports; of `result` {status, error, turns, cost_usd}.
    """

    kind: AgentEventKind
    summary: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AgentResult:
    """How a session ended, and how its process was confined.

    `error` is one line, None if the agent finished or was stopped; a None count is unknown.

    finished: the agent ended its turn. stopped: `AgentTask.stop` was set first. limit: max_turns or max_budget_usd
    was reached. stalled: nothing was heard for `stall_s`. failed: anything else, such as an endpoint that refuses
    or a process that was killed. `cause` says more of a failed session: `credentials` and `billing` will not mend
    themselves, `rate_limit` and `overload` may with time; `no_result` is a process that ended without a word.
    """

    status: AgentStatus
    error: str | None
    turns: int
    cost_usd: float | None
    input_tokens: int | None
    output_tokens: int | None
    session_id: str | None
    sdk_version: str
    cli_version: str | None
    level: Level
    cause: AgentCause | None = None


class Agent(Protocol):
    """Something that can work on a task. `level` is how its process is confined."""

    level: Level

    async def run(self, task: AgentTask, on_event: Callable[[AgentEvent], None]) -> AgentResult:
        """Work until the session ends, for whatever reason. No process is left when this returns or raises."""
        ...
