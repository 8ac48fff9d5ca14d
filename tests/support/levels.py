"""The levels of isolation that the tests of this machine attack. `FAPO_TEST_LEVELS` names those that it has to have."""

from __future__ import annotations

import subprocess
import sys

from fapo.errors import IsolationError
from fapo.sandbox import landlock, seccomp
from fapo.sandbox.launch import outer_command
from fapo.sandbox.policy import Level, Policy, runtime_paths
from fapo.sandbox.probe import CONFINING


def _starts(level: Level) -> bool:
    """Whether a process can be started at a level, however little that holds off."""
    if landlock.abi_version() < landlock.REQUIRED_ABI or not seccomp.supported():
        return False
    try:
        command = [*outer_command(Policy(read=runtime_paths()), level), sys.executable, "-I", "-S", "-c", ""]
    except IsolationError:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


HERE: tuple[Level, ...] = tuple(level for level in CONFINING if _starts(level))
"""From the strongest on."""
EVERY: tuple[Level, ...] = (*HERE, "none")
STRONGEST: Level = EVERY[0]
