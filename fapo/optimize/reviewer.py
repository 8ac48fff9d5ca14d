"""The independent reviewer: a second agent with fresh eyes and read-only tools, asked before a variant is measured.

It is no wall: the deterministic review is. A session that fails or says nothing is recorded and blocks nothing.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from fapo.agent.protocol import Agent, AgentEvent, AgentResult, AgentTask, AgentTool
from fapo.errors import UsageError
from fapo.optimize.events import Reviewed
from fapo.records import Level, Usage
from fapo.report.patch import unified_patch
from fapo.store.files import write_atomic
from fapo.store.variants import Snapshot, write_snapshot

CHECKS = (
    "leakage", "case_specific", "scorer_gaming", "output_format", "unsafe_code", "instruction_to_reviewer",
    "claim_mismatch", "other",
)  # fmt: skip
MAX_TURNS = 30
STALL_S = 180.0

_PROMPT = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)


@dataclass(frozen=True, slots=True)
class Claim:
    """What the optimizer says of a variant."""

    variant: str
    hypothesis: str
    technique: str
    step: str
    level: Level


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who reviews: the agent and what its sessions are given."""

    agent: Agent
    model: str
    environment: Mapping[str, str]
    on_event: Callable[[AgentEvent], None]
    free: bool


async def review_by_agent(
    reviewer: Reviewer,
    claim: Claim,
    parent: Snapshot,
    candidate: Snapshot,
    score: Path,
    directory: Path,
    *,
    max_budget_usd: float | None,
) -> Reviewed:
    """One session on one change, in a workspace below `directory` that holds no case.

    Raises IsolationError where the agent cannot be confined.
    """
    workspace = directory / "workspace"
    _lay(workspace, claim, parent, candidate, score)
    stop = asyncio.Event()
    desk = _Desk(frozenset(candidate), stop)
    task = AgentTask(
        workspace=workspace,
        home=directory / "agent",
        system_prompt=_PROMPT.from_string(
            resources.files(__package__).joinpath("reviewer.md").read_text(encoding="utf-8")
        ).render(workspace=workspace),
        prompt=f"Review: {workspace}\nRead change.patch, then give your verdict.",
        tools=(desk.tool(),),
        editable=lambda: (),
        model=reviewer.model,
        environment=reviewer.environment,
        max_turns=MAX_TURNS,
        max_budget_usd=max_budget_usd,
        stall_s=STALL_S,
        stop=stop,
    )
    result = await reviewer.agent.run(task, reviewer.on_event)
    return desk.reviewed(claim.variant, result, free=reviewer.free)


def _lay(workspace: Path, claim: Claim, parent: Snapshot, candidate: Snapshot, score: Path) -> None:
    shutil.rmtree(workspace, ignore_errors=True)
    write_snapshot(parent, workspace / "parent")
    write_snapshot(candidate, workspace / "candidate")
    write_atomic(workspace / "change.patch", unified_patch(parent, candidate))
    write_atomic(workspace / "score" / score.name, score.read_bytes())
    rows = [f"- {name}: {' '.join(text.split())}" for name, text in (
        ("level", claim.level), ("step", claim.step), ("technique", claim.technique), ("hypothesis", claim.hypothesis)
    )]  # fmt: skip
    write_atomic(workspace / "claim.md", "\n".join(["# What the author says", "", *rows, ""]))


class _Desk:
    """Takes the verdict. The first one counts, and ends the session."""

    def __init__(self, paths: frozenset[str], stop: asyncio.Event) -> None:
        self._paths = paths
        self._stop = stop
        self._said: dict[str, str] | None = None

    def tool(self) -> AgentTool:
        text = {"type": "string"}
        schema = {
            "type": "object",
            "properties": {
                "verdict": {"type": "string", "enum": ["pass", "block"]},
                "check": {"type": "string", "enum": list(CHECKS)},
                "reason": text,
                "path": {"type": "string", "description": "a file of candidate/, such as prompts/answer.md"},
            },
            "required": ["verdict"],
            "additionalProperties": False,
        }
        return AgentTool("verdict", "Give your verdict on the change, once.", schema, self._take, read_only=False)

    async def _take(self, arguments: dict[str, Any]) -> str:
        if self._said is not None:
            raise UsageError("the verdict was given already")
        if arguments.get("verdict") not in ("pass", "block"):
            raise UsageError("`verdict` must be `pass` or `block`")
        self._said = {key: str(arguments.get(key, ""))[:500] for key in ("verdict", "check", "reason", "path")}
        self._stop.set()
        return json.dumps({"recorded": True})

    def reviewed(self, variant: str, result: AgentResult, *, free: bool) -> Reviewed:
        usage = Usage(result.turns, 0, result.input_tokens, result.output_tokens, 0.0 if free else result.cost_usd)
        if self._said is None:
            why = result.error or f"the session ended ({result.status}) without a verdict"
            return Reviewed(variant, "none", "", why, "", usage)
        path = self._said["path"].removeprefix("candidate/")
        status = self._said["verdict"]
        if status == "block" and not (self._said["reason"].strip() and path in self._paths):
            status = "unfounded"
        check = self._said["check"] if self._said["check"] in CHECKS else "other"
        return Reviewed(variant, status, check, " ".join(self._said["reason"].split()), path, usage)
