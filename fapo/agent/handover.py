"""How fapo comes to serve a port inside of a sandbox's own network, and to know that the sandbox has ended.

The sandbox's process opens the port and sends the listening socket to a unix socket that it is shown. A listener keeps
belonging to the network that it was opened in, whoever accepts from it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

_ARRIVAL_S = 60.0
_CREDENTIALS = struct.Struct("3i")

Serve = Callable[[socket.socket], Awaitable[None]]


def hand_over(listener: socket.socket, place: Path) -> None:
    """Send a listener from inside. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as outside:
        outside.connect(str(place))
        socket.send_fds(outside, [b"."], [listener.fileno()])


@asynccontextmanager
async def taken_over(serve: Serve) -> AsyncIterator[Path]:
    """The place to send one listener to, which `serve` then gets. At the end no process of the sandbox is left."""
    sandbox = _Sandbox()
    with tempfile.TemporaryDirectory(prefix="fapo-") as folder, socket.socket(socket.AF_UNIX) as ours:
        place = Path(folder, "handover")
        ours.bind(str(place))
        ours.listen(1)
        ours.setblocking(False)
        taking = asyncio.create_task(sandbox.take(ours, serve))
        try:
            yield place
        finally:
            taking.cancel()
            await sandbox.end()
            await asyncio.wait([taking])


class _Sandbox:
    """A process namespace, known by its first process: that ends last, and all others with it."""

    def __init__(self) -> None:
        self._first: int | None = None

    async def take(self, ours: socket.socket, serve: Serve) -> None:
        arrived, _ = await asyncio.get_running_loop().sock_accept(ours)
        with arrived:
            peer, _, _ = _CREDENTIALS.unpack(
                arrived.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            self._first = os.pidfd_open(psutil.Process(peer).ppid())
            arrived.settimeout(_ARRIVAL_S)
            _, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, arrived, 1, 1)
        listener = socket.socket(fileno=descriptors[0])
        listener.setblocking(False)
        await serve(listener)

    async def end(self) -> None:
        if self._first is None:
            return
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first, signal.SIGKILL)
        loop.add_reader(self._first, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._first)
            os.close(self._first)
