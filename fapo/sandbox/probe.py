"""Finds out what a level of confinement holds off on this machine, by attacking from inside of it.

A canary process (`canary.py`) is started at the level and attacks targets (`targets.py`). A claim holds only if nothing
happened to its target and nothing secret came back.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

from fapo.errors import IsolationError
from fapo.sandbox.canary import canary_policy
from fapo.sandbox.launch import outer_command
from fapo.sandbox.policy import Level
from fapo.sandbox.targets import Answer, Targets, can_change_kernel, lay_out

CONFINING: tuple[Level, ...] = ("full", "landlock")
"""From the strongest on."""
REQUIRED = ("held-out files", "keys", "network", "writes", "signals", "kernel settings")
WANTED = ("io_uring", "namespaces", "processes", "survivors", "memory")

_TIMEOUT_S = 30.0
_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8"}
_CONTAINER = 'run fapo in a Linux container (docker run --rm -it -v "$PWD":/work -w /work python:3.12 bash)'
_USER_NAMESPACES = (
    ": allow user namespaces (on Ubuntu 24.04 by an AppArmor profile for bwrap, or by "
    "sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that a level should hold off. `holds` is None where there is nothing to attack on this machine.

    `detail` names the ways in which it was breached.
    """

    name: str
    required: bool
    holds: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class LevelReport:
    """What was found about a level. `works`: its required claims hold; if not, `reason` says why, and what to do."""

    level: Level
    works: bool
    claims: tuple[Claim, ...]
    reason: str


@functools.cache
def choose_level(isolation: Literal["auto", "none"]) -> LevelReport:
    """The strongest level that works here, found once in a process; for `none` that level, unprobed.

    Raises IsolationError where none works.
    """
    if isolation == "none":
        return LevelReport("none", True, (), "asked for")
    reports = []
    for level in CONFINING:
        reports.append(probe_level(level))
        if reports[-1].works:
            return reports[-1]
    found = "; ".join(dict.fromkeys(report.reason for report in reports))
    raise IsolationError(f"code cannot be confined on this machine: {found}; or trust the code: --isolation none")


def probe_level(level: Level) -> LevelReport:
    """Attack from inside of a level. Level `none`, a plain process, never works, and shows what the attacks can do."""
    if platform.system() != "Linux":
        return LevelReport(level, False, (), f"needs Linux: {_CONTAINER}")
    try:
        with lay_out() as targets:
            breaches = targets.breaches(_attack(targets, level))
    except IsolationError as error:
        return LevelReport(level, False, (), str(error))
    except OSError as error:  # no place for files, or no loopback
        return LevelReport(level, False, (), f"cannot be probed: {error}")
    claims = tuple(_claim(name, breaches[name]) for name in (*REQUIRED, *WANTED))
    if level == "none":
        return LevelReport(level, False, claims, "confines nothing")
    breached = [f"{claim.name} ({claim.detail})" for claim in claims if claim.required and claim.holds is False]
    reason = f"does not hold off attacks on {', '.join(breached)}" if breached else ""
    return LevelReport(level, not breached, claims, reason)


def _claim(name: str, ways: list[str]) -> Claim:
    if name == "kernel settings" and not can_change_kernel():
        return Claim(name, True, None, "this user could not change them anyway")
    return Claim(name, name in REQUIRED, not ways, ", ".join(ways))


def _attack(targets: Targets, level: Level) -> Answer:
    """Let a canary attack. Raises IsolationError where it cannot run at this level."""
    outer = outer_command(canary_policy(level, targets.base), level)
    command = [*outer, sys.executable, "-I", "-B", "-m", "fapo.sandbox.canary"]
    order = targets.order(level).to_json()
    try:
        done = subprocess.run(
            command, input=order, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, cwd="/",
            env=_ENVIRONMENT, pass_fds=targets.descriptors, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise IsolationError(f"a process did not answer within {_TIMEOUT_S:.0f} s") from None
    try:
        answer: Answer = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise IsolationError(f"no process can be started ({said[-1]}){_USER_NAMESPACES if outer else ''}") from None
    if "error" in answer:
        raise IsolationError(str(answer["error"]))
    return answer
