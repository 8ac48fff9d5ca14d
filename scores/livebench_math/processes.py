"""The processes that compare formulas: a few, started when first needed, each asked by a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LIMIT_S = 8.0
"""Processor time that a comparison may take. Published is wall time, by which a busy machine would score otherwise."""
COUNT = min(4, os.cpu_count() or 1)
PROGRAM = Path(__file__).with_name("comparing.py")


class Comparer:
    """One process at a time; another one is started where it ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._stopped: subprocess.Popen[str] | None = None

    def ask(self, by: str, gold: str, answer: str) -> str:
        """A verdict: equal, different, which of both cannot be read (answer, gold), late, or memory.

        Raises RuntimeError where the process does not start, is stopped, or is ended from outside twice.
        """
        question = json.dumps({"by": by, "gold": gold, "answer": answer, "seconds": LIMIT_S})
        for _ in range(2):
            process = self._running()
            verdict = _exchange(process, question)
            if verdict is not None:
                return verdict
            if process.wait() == -signal.SIGPROF:
                return "late"
            if process is self._stopped:
                raise RuntimeError("the comparison was stopped")
        raise RuntimeError("the process that compares formulas was ended from outside")

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, cwd="/", env={}, start_new_session=True,
            )  # fmt: skip
            if _exchange(self._process, None) != "ready":
                raise RuntimeError(f"{PROGRAM}: does not start: are sympy, lark and math-verify installed?")
        return self._process

    def stop(self) -> None:
        """End a comparison that runs in another thread."""
        if (process := self._process) is not None:
            self._stopped = process
            process.kill()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _exchange(process: subprocess.Popen[str], question: str | None) -> str | None:
    """Send a question, if there is one, and read the verdict; None where the process has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if question is not None:
            process.stdin.write(question + "\n")
            process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        return None
    return str(json.loads(line)) if line.endswith("\n") else None


_threads = ThreadPoolExecutor(COUNT, thread_name_prefix="compare")
_own = threading.local()
_all: list[Comparer] = []


def _ask(by: str, gold: str, answer: str) -> str:
    if not hasattr(_own, "comparer"):
        _own.comparer = Comparer()
        _all.append(_own.comparer)
    return str(_own.comparer.ask(by, gold, answer))


@atexit.register
def close() -> None:
    """End all processes; they are started again when needed."""
    for comparer in _all:
        comparer.close()


async def compare(by: str, gold: str, answer: str) -> str:
    """A verdict, as of `Comparer.ask`. While it is waited for, other work goes on.

    Where it is cancelled, all comparisons are stopped: an evaluation ends as a whole, and nobody is to wait for them.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, _ask, by, gold, answer)
    except asyncio.CancelledError:
        for comparer in _all:
            comparer.stop()
        raise
