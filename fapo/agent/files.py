"""Tools for the files of a workspace, for a CLI whose own ones are shut: the same names and arguments as Claude Code's.

They run in fapo's process, each call through the guard, so that the agent's process needs no write access at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fapo.agent import guard
from fapo.agent.protocol import AgentTask, AgentTool
from fapo.errors import UsageError
from fapo.store.files import write_atomic

LONGEST_READ_LINES = 2000
LONGEST_ANSWER = 200_000
_MOST_FOUND = 500

Denied = Callable[[str, dict[str, Any], str], None]

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 1}
_FILE = {"type": "string", "description": "absolute, or relative to the workspace"}


def file_tools(task: AgentTask, denied: Denied) -> tuple[AgentTool, ...]:
    """Read, Edit, Write, Glob and Grep on `task.workspace`. `denied` hears of each call that the guard refused."""
    workspace = task.workspace.absolute()

    def offer(
        name: str, about: str, work: Callable[[Path, dict[str, Any]], str], required: str, **rest: Any
    ) -> AgentTool:
        async def handle(arguments: dict[str, Any]) -> str:
            editable = task.editable() if name in ("Edit", "Write") else ()
            if reason := guard.check(name, arguments, workspace=workspace, editable=editable):
                denied(name, arguments, reason)
                raise UsageError(reason)
            try:
                return await asyncio.to_thread(work, workspace, arguments)
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(
                    f"{name} failed: {getattr(error, 'strerror', None) or 'this is not UTF-8 text'}"
                ) from None

        names = required.split()
        schema = {
            "type": "object",
            "properties": {**{key: _FILE if key == "file_path" else _TEXT for key in names}, **rest},
            "required": names,
            "additionalProperties": False,
        }
        return AgentTool(name, about, schema, handle, read_only=name not in ("Edit", "Write"))

    return (
        offer("Read", "Read a text file, with line numbers.", _read, "file_path", offset=_COUNT, limit=_COUNT),
        offer("Edit", "Replace a text that occurs once in a file; all of them with replace_all.", _edit,
              "file_path old_string new_string", replace_all={"type": "boolean"}),
        offer("Write", "Write a whole file.", _write, "file_path content"),
        offer("Glob", "Names of files, such as `pipeline/prompts/*.md` or `**/*.py`.", _glob, "pattern", path=_TEXT),
        offer("Grep", "Lines that contain a text, without regard to case.", _grep, "pattern", path=_TEXT, glob=_TEXT),
    )  # fmt: skip


def _read(workspace: Path, arguments: dict[str, Any]) -> str:
    lines = (workspace / arguments["file_path"]).read_text(encoding="utf-8").split("\n")
    if lines[-1] == "":
        lines.pop()
    first = arguments.get("offset", 1)
    shown = lines[first - 1 :][: min(arguments.get("limit", LONGEST_READ_LINES), LONGEST_READ_LINES)]
    return _cut("\n".join(f"{number:6}\t{line}" for number, line in enumerate(shown, first))) or "(empty)"


def _edit(workspace: Path, arguments: dict[str, Any]) -> str:
    path, old, new = workspace / arguments["file_path"], arguments["old_string"], arguments["new_string"]
    text = path.read_bytes().decode("utf-8")
    count = text.count(old) if old else 0
    if count == 0:
        raise UsageError("old_string is not in the file: read it again")
    if count > 1 and not arguments.get("replace_all"):
        raise UsageError(f"old_string occurs {count} times: give more of what is around it, or replace_all")
    write_atomic(path, text.replace(old, new).encode())
    return f"replaced {count}"


def _write(workspace: Path, arguments: dict[str, Any]) -> str:
    path = workspace / arguments["file_path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, arguments["content"].encode())
    return "written"


def _glob(workspace: Path, arguments: dict[str, Any]) -> str:
    pattern = arguments["pattern"].removeprefix(f"{workspace}/")
    if pattern.startswith("/"):
        raise UsageError("the pattern must be relative to `path` or the workspace")
    base = workspace / arguments.get("path", ".")
    try:
        found = sorted(path for path in base.glob(pattern) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise UsageError(f"{pattern!r} is not a pattern: {error}") from None
    return _cut("\n".join(str(path) for path in found[:_MOST_FOUND])) or "no file fits"


def _grep(workspace: Path, arguments: dict[str, Any]) -> str:
    wanted, base = arguments["pattern"].casefold(), workspace / arguments.get("path", ".")
    paths = [base] if base.is_file() else sorted(path for path in base.rglob("*") if path.is_file())
    found: list[str] = []
    for path in paths:
        relative = path.relative_to(workspace)
        if "glob" in arguments and not relative.match(arguments["glob"]):
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found += [f"{relative}:{number}:{line}" for number, line in enumerate(lines, 1) if wanted in line.casefold()]
        if len(found) >= _MOST_FOUND:
            break
    return _cut("\n".join(found[:_MOST_FOUND])) or "not found"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ANSWER else f"{text[:LONGEST_ANSWER]}\n(cut here: ask for less)"
