"""How many calls are on the wire at once, and whose turn it is."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """Runs jobs, a fixed number at a time; those of the lowest rank go first, and among equals the one that came first.

    With the calls that a case has made before as its rank, cases that have just begun go before those that are almost
    done. So they all end at about the same time, and the last of them do not run their steps one by one on an empty
    wire. A lane starts its next job before anybody looks at the outcome of the last: the wire does not wait for that.
    """

    def __init__(self, lanes: int) -> None:
        self._free = lanes
        self._order = count()
        self._queue: list[tuple[int, int, Callable[[], Awaitable[T]], asyncio.Future[T]]] = []
        self._driving: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a job would have to wait."""
        return not self._free

    async def run(self, rank: int, job: Callable[[], Awaitable[T]]) -> T:
        """Run `job` when its turn comes. Whoever gives up while it waits takes it out of the queue."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (rank, next(self._order), job, outcome))
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._drive())
            self._driving.add(task)
            task.add_done_callback(self._driving.discard)
        return await outcome

    async def _drive(self) -> None:
        try:
            while self._queue:
                _, _, job, outcome = heapq.heappop(self._queue)
                if not outcome.done():
                    await self._finish(job, outcome)
        finally:
            self._free += 1

    @staticmethod
    async def _finish(job: Callable[[], Awaitable[T]], outcome: asyncio.Future[T]) -> None:
        try:
            result = await job()
        except asyncio.CancelledError:
            outcome.cancel()
            raise
        except BaseException as error:  # noqa: BLE001  # handed to the one who waits for it
            if not outcome.done():
                outcome.set_exception(error)
        else:
            if not outcome.done():
                outcome.set_result(result)

    async def aclose(self) -> None:
        """Drop the jobs that run and those that wait."""
        for *_, outcome in self._queue:
            outcome.cancel()
        driving = list(self._driving)
        for task in driving:
            task.cancel()
        await asyncio.gather(*driving, return_exceptions=True)
