"""How many calls are on the wire at once, and whose turn it is."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class Places:
    """A semaphore that lets those with the lowest rank in first, and among equals the one that has waited longest.

    With the calls that a case has made before as its rank, cases that have just begun go before those that are almost
    done. So they all end at about the same time, and the last of them do not run their steps one by one on an empty
    wire.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._order = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    def take(self) -> bool:
        """Take a place if one is free and nobody waits."""
        if self._free and not self._waiting:
            self._free -= 1
            return True
        return False

    async def wait(self, rank: int) -> None:
        """Wait for a place and take it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._order), turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a place back."""
        self._free += 1
        self._admit()

    def _admit(self) -> None:
        while self._free and self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
