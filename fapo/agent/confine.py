"""What the CLI's process may see and what its own permission system is told: variables, launcher, rules.

These are layers of their own beside `guard.py`, so that a fault in one of them opens nothing.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from fapo.agent import guard, launch
from fapo.agent.cage import PRIVATE, Cage
from fapo.agent.protocol import AgentTask

# Beside PATH, locale and time zone: what the SDK itself sets for the CLI.
_PASSED_ON = (
    "PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ",
    "PWD", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_AGENT_SDK_VERSION", "CLAUDE_CODE_SDK_READS_SESSION_STATE",
)  # fmt: skip

DENIED_TOOLS = (
    "Bash", "BashOutput", "KillShell", "WebFetch", "WebSearch", "Task", "Agent", "Skill", "SlashCommand",
    "NotebookEdit", "ToolSearch", "ListMcpResourcesTool", "ReadMcpResourceTool",
)  # fmt: skip


def environment(task: AgentTask, cage: Cage) -> dict[str, str]:
    """The variables that are set for the CLI."""
    home = task.home.absolute()
    given = cage.environment.get("NO_PROXY") or cage.environment.get("no_proxy")
    no_proxy = ",".join(filter(None, [given, "127.0.0.1", "localhost", "::1"]))
    return {
        **cage.environment,
        "HOME": str(home / "user"),
        "CLAUDE_CONFIG_DIR": str(home / "config"),
        "TMPDIR": str(home / "tmp"),
        "CLAUDE_CODE_TMPDIR": str(home / "tmp"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "ENABLE_TOOL_SEARCH": "false",  # or else fapo's tools may be listed only once they are searched for
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def write_launcher(task: AgentTask, program: Path, cage: Cage) -> Path:
    """Write the command that the SDK starts in the CLI's place, and make the directories below `task.home`.

    The SDK hands down the whole of `os.environ`, and can override a variable but not remove one; so it starts a
    script that passes on the named ones only. Credentials travel as variables: in no file, and in no argument.
    """
    for folder in PRIVATE:
        (task.home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    task.home.chmod(0o700)
    names = ",".join(sorted({*_PASSED_ON, *environment(task, cage)}))
    command = [sys.executable, "-I", launch.__file__, str(os.getpid()), names, *cage.command(program)]
    script = task.home.absolute() / "claude"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    script.chmod(0o700)
    return script


def allow_rules(task: AgentTask) -> list[str]:
    """Reads in the workspace, writes below what is ever editable, and fapo's tools.

    The rules hold for the whole session; which files are editable at a given moment is the guard's to say.
    """
    roots = {f"{glob.partition('/')[0]}/**" if "/" in glob else glob for glob in task.editable()}
    return [guard.OWN_TOOLS.removesuffix("__"), "Read(./**)", *(f"Edit(./{root})" for root in sorted(roots))]


def deny_rules(task: AgentTask) -> list[str]:
    """The private directories, the stored login, kernel files, and hidden files for writing."""
    folders = [task.home, task.home.resolve()]
    if login := task.environment.get("CLAUDE_SECURESTORAGE_CONFIG_DIR"):
        folders.append(Path(login))
    hidden = [*dict.fromkeys(_rule_path(folder) for folder in folders), "//proc", "//sys", "//dev"]
    rules = [f"{kind}({folder}/**)" for folder in hidden for kind in ("Read", "Edit")]
    return [*rules, "Edit(./**/.*)", "Edit(./**/.*/**)"]


def _rule_path(path: Path) -> str:
    """An absolute path as rules spell it: with a second slash in front, and special characters escaped."""
    return "/" + re.sub(r"([\\*?\[\]{}()!])", r"\\\1", str(path.absolute()))
