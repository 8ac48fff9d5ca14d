"""Runs the `fapo` command as a user does: another process, its own runs and cache folders, no key, no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fapo.data import Kind, find_builtin

FAPO = [sys.executable, "-m", "fapo.cli"]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def environment(folder: Path, **extra: str) -> dict[str, str]:
    """A user's environment without credentials, with `runs/` and `cache/` below `folder`."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE") if name in os.environ}
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    own = {"HOME": str(home), "FAPO_RUNS_DIR": str(folder / "runs"), "FAPO_CACHE_DIR": str(folder / "cache")}
    return kept | own | extra


def fapo(folder: Path, *arguments: str | Path, program: Sequence[str] = (), **extra: str) -> Done:
    """Run `fapo ARGUMENTS` to its end, by `program` if there is one."""
    command = [*program, *FAPO, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(folder, **extra), cwd=folder, timeout=280, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def start(folder: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start `fapo ARGUMENTS` in a process group of its own."""
    command = [*FAPO, *map(str, arguments)]
    log = (folder / "output.txt").open("wb")
    with log:
        return subprocess.Popen(
            command, env=environment(folder), cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip


def builtin(kind: Kind, name: str) -> Path:
    """The folder of something that comes with fapo."""
    path = find_builtin(kind, name)
    assert path is not None
    return path


def optimize(folder: Path, pipeline: Path | str, *options: str) -> dict[str, Any]:
    """The result of `fapo optimize --json`, which must end well."""
    done: Done = fapo(folder, "optimize", pipeline, "--json", *options)
    assert done.code == 0, done.err
    return done.json
