"""Runs a command's work: one event loop, and one way to be interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine

import typer

INTERRUPTED = 130


def run_to_end(work: Coroutine[None, None, int]) -> None:
    """Run `work` and exit with its code. Ctrl-C and SIGTERM cancel it, so that nothing is left running."""
    try:
        code = asyncio.run(_interruptible(work))
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)


async def _interruptible(work: Coroutine[None, None, int]) -> int:
    task = asyncio.ensure_future(work)
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return INTERRUPTED
