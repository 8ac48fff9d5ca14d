"""Becomes the agent's CLI: with the named variables only, and bound to die with the process that started it.

`python -I launch.py PARENT_PID NAME,NAME,... COMMAND [ARGUMENT...]`: run by its path, it imports nothing of fapo.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends (Linux); exit if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the process that started the agent has ended")


def main() -> None:
    parent, names, *command = sys.argv[1:]
    die_with_parent(int(parent))
    environment = {name: os.environ[name] for name in names.split(",") if name in os.environ}
    os.execve(command[0], command, environment)  # noqa: S606  no shell is meant


if __name__ == "__main__":
    main()
