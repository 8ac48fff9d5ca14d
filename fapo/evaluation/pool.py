"""The workers of one evaluation: one for pipelines that wait for models, one a core for those that compute.

A case goes to the worker with the fewest computing cases in it, and waits while all have enough. Where the workers are
busy computing another one is started, until every core has one.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import psutil

from fapo.evaluation.process import WorkerProcess
from fapo.sandbox.policy import Level

_LOOK_EVERY_S = 0.5
_MOST_COMPUTING = 32
"""Cases that compute in one worker at once. More would only slow each other down, and run into their time limits."""
_BUSY = 0.7
"""A worker that uses more of a core than this has no room for more cases."""


class WorkerPool:
    """Starts workers by `start`, replaces those that died, and ends them all."""

    def __init__(self, start: Callable[[], Awaitable[WorkerProcess]], *, most: int | None = None) -> None:
        self._start = start
        self._most = most or _cores()
        self._workers: list[WorkerProcess] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closing: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._alone = asyncio.Semaphore(self._most)
        self._grower: asyncio.Task[None] | None = None
        self.level: Level = "none"

    @property
    def size(self) -> int:
        """How many workers there are now."""
        return len(self._workers)

    async def open(self) -> None:
        """Start the first worker. Raises UsageError or IsolationError where the pipeline cannot be loaded."""
        await self._add()
        self.level = self._workers[0].level
        if self._most > 1:
            self._grower = asyncio.create_task(self._grow())

    async def shared(self) -> WorkerProcess:
        """The worker that is to take the next case, as soon as one is free enough."""
        while (worker := await self._least_busy()).computing >= _MOST_COMPUTING:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(room)
            await room
        return worker

    def _let_one_in(self) -> None:
        while self._waiting:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)
                return

    async def _least_busy(self) -> WorkerProcess:
        for dead in [worker for worker in self._workers if worker.dead]:
            self._workers.remove(dead)
            self._closing.add(asyncio.create_task(dead.close()))
        if not self._workers:
            async with self._starting:
                if not self._workers:
                    await self._add()
        return min(self._workers, key=lambda worker: worker.computing)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[WorkerProcess]:
        """A worker for one case only. No more of them run at once than there are cores."""
        async with self._alone:
            worker = await self._start()
            try:
                yield worker
            finally:
                await worker.close()

    async def close(self) -> None:
        if self._grower is not None:
            self._grower.cancel()
            await asyncio.gather(self._grower, return_exceptions=True)
        for worker in self._workers:
            await worker.close()
        await asyncio.gather(*self._closing)

    async def _add(self) -> None:
        worker = await self._start()
        worker.on_room = self._let_one_in
        self._workers.append(worker)
        for _ in range(_MOST_COMPUTING):
            self._let_one_in()

    async def _grow(self) -> None:
        meters: dict[int, _Meter] = {}
        while len(self._workers) < self._most:
            await asyncio.sleep(_LOOK_EVERY_S)
            pids = [worker.pid for worker in self._workers]
            meters, busy = await asyncio.to_thread(_look, pids, meters)
            computing = sum(worker.computing for worker in self._workers)
            if busy > _BUSY * _LOOK_EVERY_S * len(self._workers) and computing > len(self._workers):
                async with self._starting:
                    await self._add()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _look(pids: list[int], before: dict[int, _Meter]) -> tuple[dict[int, _Meter], float]:
    """The meters of these workers, and the seconds of CPU that they used since the last look. Reads all of /proc."""
    meters = {pid: before.get(pid) or _Meter(pid) for pid in pids}
    return meters, sum(meter.used() for meter in meters.values())


class _Meter:
    """Seconds of CPU that a worker uses, from one look to the next."""

    def __init__(self, pid: int) -> None:
        self._processes: list[psutil.Process] = []
        with suppress(psutil.Error):
            # Under bubblewrap the interpreter is a grandchild.
            process = psutil.Process(pid)
            self._processes = [process, *process.children(recursive=True)]
        self._before = self._total()

    def used(self) -> float:
        before, self._before = self._before, self._total()
        return self._before - before

    def _total(self) -> float:
        with suppress(psutil.Error):
            times = [process.cpu_times() for process in self._processes]
            return sum(each.user + each.system for each in times)
        return 0.0
