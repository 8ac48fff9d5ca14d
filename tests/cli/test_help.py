"""The help is part of the documentation: it changes on purpose. `UPDATE_SNAPSHOTS=1 pytest tests/cli` rewrites it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "help"
COMMANDS = ["", "apply", "attribute", "benchmark", "cache", "cases", "ci", "compare", "diff", "doctor", "eval",
            "export", "init", "optimize", "prompts", "report", "review", "runs", "show", "trace", "ui",
            "watch"]  # fmt: skip


def show_help(command: str) -> str:
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "LANG": "C.UTF-8"}
    arguments = [sys.executable, "-m", "fapo.cli", *command.split(), "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip() + "\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_is_as_recorded(command: str) -> None:
    path = HERE / f"{command or 'fapo'}.txt"
    shown = show_help(command)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(shown)
    assert shown == path.read_text()


def test_every_command_is_recorded() -> None:
    assert {path.stem for path in HERE.glob("*.txt")} == {command or "fapo" for command in COMMANDS}
    commands = show_help("").split("Commands:")[1]
    listed = re.findall(r"^  ([a-z]+)  ", commands, re.MULTILINE)
    assert set(listed) == set(COMMANDS) - {""}
