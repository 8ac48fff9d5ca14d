"""What an Anthropic Messages conversation says: which tools were called, and what they answered.

The payloads are those of fapo's tools as an agent sees them; nothing in here reads anything but the conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import PurePosixPath
from typing import Any

MCP_PREFIX = "mcp__fapo__"

_WORKSPACE = re.compile(r"^[ \t]*Workspace:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
_NUMBERED = re.compile(r"[ \t]*(\d+)(?:\t|→)(.*)", re.DOTALL)
_READ_LIMIT_LINES = 2000
_READ_LIMIT_COLUMNS = 2000


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call to make. `name` is the tool's full name; `why` is what to say before it."""

    name: str
    arguments: dict[str, Any]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One tool call that was made, and its result as text without the CLI's reminders."""

    name: str
    arguments: dict[str, Any]
    text: str
    failed: bool

    def answers(self, call: Call) -> bool:
        """Whether this is `call`: the same tool, on the same file where it is a file tool."""
        return self.name == call.name and self.arguments.get("file_path") == call.arguments.get("file_path")

    @property
    def payload(self) -> dict[str, Any] | None:
        """The JSON object that one of fapo's tools answered; None where it failed or said something else."""
        if self.failed:
            return None
        try:
            value = json.loads(self.text)
        except json.JSONDecodeError:
            return None
        return value if isinstance(value, dict) else None


def exchanges(messages: Sequence[Mapping[str, Any]]) -> tuple[Exchange, ...]:
    """The tool calls of a conversation that have a result, in the order of the results."""
    calls: dict[str, Mapping[str, Any]] = {}
    found = []
    for block in _blocks(messages):
        if block.get("type") == "tool_use":
            calls[str(block.get("id"))] = block
        elif block.get("type") == "tool_result" and (call := calls.pop(str(block.get("tool_use_id")), None)):
            text = _REMINDER.sub("", flat_text(block.get("content"))).strip("\n")
            arguments = call.get("input")
            found.append(
                Exchange(
                    name=str(call.get("name")),
                    arguments=dict(arguments) if isinstance(arguments, Mapping) else {},
                    text=text,
                    failed=bool(block.get("is_error")),
                )
            )
    return tuple(found)


def workspace(system: str, messages: Sequence[Mapping[str, Any]]) -> PurePosixPath | None:
    """The path on the first `Workspace:` line of the system prompt or of the first user message."""
    first = next((message for message in messages if message.get("role") == "user"), {})
    for text in (system, flat_text(first.get("content"))):
        if match := _WORKSPACE.search(text):
            return PurePosixPath(match.group(1).strip("`"))
    return None


def flat_text(content: Any) -> str:
    """The text of a message's or a tool result's content: a string, or a list of blocks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    texts = (block.get("text", "") for block in content if isinstance(block, Mapping))
    return "\n".join(str(text) for text in texts if text)


def _blocks(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, Sequence) and not isinstance(content, str):
            yield from (block for block in content if isinstance(block, Mapping))


@dataclass(frozen=True, slots=True)
class FileView:
    """A file as the Read tool showed it. `whole` is False where lines may have been left out or cut."""

    text: str
    whole: bool


def file_view(shown: str) -> FileView | None:
    """The file behind a Read result: `cat -n` lines, numbered without a gap. None where there are none.

    A final newline is assumed, since the numbered form does not tell.
    """
    lines: list[str] = []
    first: int | None = None
    for line in shown.split("\n"):
        match = _NUMBERED.fullmatch(line)
        if match is None:
            continue
        first = int(match.group(1)) if first is None else first
        if int(match.group(1)) == first + len(lines):
            lines.append(match.group(2).rstrip("\r"))
    if not lines:
        return None
    whole = first in (0, 1) and len(lines) < _READ_LIMIT_LINES and max(map(len, lines)) < _READ_LIMIT_COLUMNS
    return FileView("\n".join(lines).rstrip("\n") + "\n", whole)


@dataclass(frozen=True, slots=True)
class StepInfo:
    name: str
    prompt: str | None
    """The workspace path of the step's prompt; None for a function step."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the `status` tool said. `tried` holds idea keys; one with an empty step stands for every step."""

    open_levels: frozenset[str] = frozenset({"prompt"})
    closed_levels: dict[str, str] = field(default_factory=dict)
    steps: tuple[StepInfo, ...] = ()
    files: tuple[tuple[str, int], ...] = ()
    tried: frozenset[tuple[str, str]] = frozenset()
    rejected_last: tuple[str, ...] = ()
    """Techniques that validation rejected since the last acceptance, the latest last."""
    accepted: int = 0
    train_cases: int = 0
    variants_left: int = 1
    agent: int = 1
    agents: int = 1
    """How many work at the same time, and which of them this is."""

    @classmethod
    def parse(cls, payload: Mapping[str, Any]) -> Status:
        steps = [item for item in _objects(payload.get("steps")) if item.get("name")]
        prompts = [item.get("prompt") or (_prompt_path(item) if item.get("kind") == "llm" else None) for item in steps]
        train, closed = payload.get("train"), payload.get("closed_levels")
        tried = _objects(payload.get("tried"))
        good = [index for index, item in enumerate(tried) if item.get("verdict") == "accepted"]
        later = tried[good[-1] + 1 :] if good else tried
        return cls(
            open_levels=frozenset(_texts(payload.get("open_levels"))),
            closed_levels={str(k): str(v) for k, v in closed.items()} if isinstance(closed, Mapping) else {},
            steps=tuple(StepInfo(str(item["name"]), prompt) for item, prompt in zip(steps, prompts, strict=True)),
            files=tuple((str(f["path"]), _int(f.get("bytes"))) for f in _objects(payload.get("files")) if "path" in f),
            tried=frozenset(idea_key(str(item.get("technique")), str(item.get("step") or "")) for item in tried),
            rejected_last=tuple(str(item.get("technique")) for item in later if item.get("difference") is not None),
            accepted=len(good),
            train_cases=_int(train.get("n")) if isinstance(train, Mapping) else 0,
            variants_left=_int(payload.get("variants_left"), 1),
            agent=_int(payload.get("agent"), 1),
            agents=_int(payload.get("agents"), 1),
        )


@dataclass(frozen=True, slots=True)
class Blamed:
    """A part of the lost score: `share` of it arises at `step`, which None leaves unnamed."""

    step: str | None
    category: str
    levels: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Findings:
    """What the `attribution` tool said."""

    by_step: tuple[Blamed, ...] = ()
    by_level: dict[str, float] = field(default_factory=dict)
    recommended: str = ""

    @classmethod
    def parse(cls, payload: Mapping[str, Any]) -> Findings:
        by_step = tuple(
            Blamed(
                step=str(item["step"]) if item.get("step") else None,
                category=str(item.get("category") or "unidentified"),
                levels=_texts(item.get("levels")),
                share=_float(item.get("share")),
            )
            for item in _objects(payload.get("by_step"))
        )
        by_level = payload.get("by_level")
        shares = {str(k): _float(v) for k, v in by_level.items()} if isinstance(by_level, Mapping) else {}
        return cls(by_step, shares, str(payload.get("recommended_level") or ""))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the `submit` tool said. `looked` tells whether validation was asked."""

    accepted: bool
    looked: bool
    level: str
    reason: str
    restored: bool
    open_levels: frozenset[str]
    variants_left: int | None

    @classmethod
    def parse(cls, payload: Mapping[str, Any]) -> Verdict:
        left = payload.get("variants_left")
        return cls(
            accepted=payload.get("verdict") == "accepted",
            looked=payload.get("difference") is not None,
            level=str(payload.get("level") or ""),
            reason=str(payload.get("reason") or ""),
            restored="restored" in str(payload.get("workspace")),
            open_levels=frozenset(_texts(payload.get("open_levels"))),
            variants_left=None if left is None else _int(left),
        )


def idea_key(technique: str, step: str) -> tuple[str, str]:
    """What makes two ideas the same."""
    return technique.strip().casefold(), step.strip().casefold()


def _prompt_path(step: Mapping[str, Any]) -> str:
    return f"pipeline/prompts/{step['name']}.md"


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _int(value: Any, default: int = 0) -> int:
    return int(value) if isinstance(value, (int, float)) and isfinite(value) else default


def _float(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and isfinite(value) else 0.0
