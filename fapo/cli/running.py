"""Runs a command's work: one event loop, and one way to be interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine

import typer

INTERRUPTED = 130


def run_to_end(work: Coroutine[None, None, int]) -> None:
    """Run `work` and exit with its code. Ctrl-C and SIGTERM cancel it, so that nothing is left running."""
    try:
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            code = runner.run(_interruptible(work))
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop costs a sixth less CPU a model call; there is none for Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _interruptible(work: Coroutine[None, None, int]) -> int:
    task = asyncio.ensure_future(work)
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return INTERRUPTED
