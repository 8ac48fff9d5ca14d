"""Runs inside the outer layers of the agent's sandbox: applies the inner ones and becomes the agent's CLI.

`python -I -B -m fapo.agent.inside ORDER COMMAND [ARGUMENT...]`, with an Order as JSON. Why a command could not be
started confined stands on stderr, in a line that begins with one of SANDBOX_VOICES.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from fapo.agent.handover import hand_over
from fapo.errors import IsolationError
from fapo.sandbox.confine import confine
from fapo.sandbox.policy import Level, Policy
from fapo.sandbox.syscalls import die_with_parent, prctl

SANDBOX_VOICES = ("sandbox: ", "bwrap: ")
"""This module's and that of the program of the outer layers."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_AWAITED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Order:
    """How to confine. With `handover`, a unix socket: where to send a listener on `port` of the sandbox's loopback."""

    level: Level
    policy: Policy
    port: int
    handover: Path | None

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Order:
        given: dict[str, Any] = json.loads(text)
        policy = given["policy"]
        for mode in ("read", "write"):
            policy[mode] = tuple(map(Path, policy[mode]))
        handover = given["handover"]
        return cls(given["level"], Policy(**policy), given["port"], Path(handover) if handover else None)


def main() -> None:
    order, command = Order.from_json(sys.argv[1]), sys.argv[2:]
    try:
        if order.handover is not None:
            with socket.create_server(("127.0.0.1", order.port), backlog=_BACKLOG) as listener:
                hand_over(listener, order.handover)
        if order.level == "landlock":
            _stay_behind()
        confine(order.policy, order.level)
        os.execv(command[0], command)  # noqa: S606  no shell is meant
    except (IsolationError, OSError) as error:
        raise SystemExit(f"{SANDBOX_VOICES[0]}{error}") from None


def _stay_behind() -> None:
    """Go on in a child. This process stays, and ends what the child leaves behind or is not given time to end.

    Level `full` needs none of this: there, all processes end with the first.
    """
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    own = os.getpid()
    child = os.fork()
    if child == 0:
        die_with_parent(own)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
        return
    code = _await(child)
    _end_descendants()
    os._exit(code)


def _await(child: int) -> int:
    """The child's exit code, as a shell tells it; that of SIGTERM if this process is told to end first."""
    while signal.sigwait(_AWAITED) == signal.SIGCHLD:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    code = os.waitstatus_to_exitcode(ended[1])
                    return code if code >= 0 else 128 - code
    return 128 + signal.SIGTERM


def _end_descendants() -> None:
    """They are all below this process: orphans among them are given to it."""
    own = psutil.Process()
    while descendants := own.children(recursive=True):
        for process in descendants:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


if __name__ == "__main__":
    main()
