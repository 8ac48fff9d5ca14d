"""Whose turn it is on the wire, and when a request may leave."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import pytest

from fapo.llm.lanes import Lanes
from fapo.llm.limits import WINDOW_S, RateLimit


class Wire:
    """Jobs that are on the wire until they are told to end."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.most = 0
        self._open: dict[str, asyncio.Future[None]] = {}

    def job(self, name: str) -> Callable[[], Awaitable[str]]:
        async def run() -> str:
            self.begun.append(name)
            self._open[name] = asyncio.get_running_loop().create_future()
            self.most = max(self.most, len(self._open))
            try:
                await self._open[name]
            finally:
                del self._open[name]
            return name

        return run

    def end(self, name: str, error: Exception | None = None) -> None:
        if error is None:
            self._open[name].set_result(None)
        else:
            self._open[name].set_exception(error)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_no_more_than_the_lanes_are_on_the_wire_and_low_ranks_go_first() -> None:
    async def whole() -> None:
        wire, lanes = Wire(), Lanes[str](2)
        names = {"late": 2, "early": 0, "middle": 1, "first": 5, "second": 5, "early too": 0}
        order = ["first", "second", "late", "middle", "early", "early too"]
        tasks = {}
        for name in order:
            tasks[name] = asyncio.create_task(lanes.run(names[name], wire.job(name)))
            await settle()
        assert wire.begun == ["first", "second"]
        assert lanes.busy
        for name in ("first", "second", "early", "early too", "middle", "late"):
            wire.end(name)
            await settle()
        assert wire.begun == ["first", "second", "early", "early too", "middle", "late"]
        assert wire.most == 2
        assert await asyncio.gather(*tasks.values()) == order
        assert not lanes.busy

    asyncio.run(whole())


def test_one_who_gives_up_while_waiting_is_never_run() -> None:
    async def whole() -> None:
        wire, lanes = Wire(), Lanes[str](1)
        first, gone, last = (asyncio.create_task(lanes.run(0, wire.job(name))) for name in ("first", "gone", "last"))
        await settle()
        gone.cancel()
        wire.end("first")
        await settle()
        wire.end("last")
        assert [await first, await last] == ["first", "last"]
        assert wire.begun == ["first", "last"]

    asyncio.run(whole())


def test_a_job_that_raises_frees_its_lane_and_tells_its_own_caller() -> None:
    async def whole() -> None:
        wire, lanes = Wire(), Lanes[str](1)
        bad, good = (asyncio.create_task(lanes.run(0, wire.job(name))) for name in ("bad", "good"))
        await settle()
        wire.end("bad", RuntimeError("dropped"))
        await settle()
        wire.end("good")
        with pytest.raises(RuntimeError, match="dropped"):
            await bad
        assert await good == "good"

    asyncio.run(whole())


def test_closing_drops_what_runs_and_what_waits() -> None:
    async def whole() -> None:
        wire, lanes = Wire(), Lanes[str](1)
        tasks = [asyncio.create_task(lanes.run(0, wire.job(name))) for name in ("runs", "waits")]
        await settle()
        await lanes.aclose()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
        assert wire.begun == ["runs"]

    asyncio.run(whole())


def in_a_minute(moments: list[float], tokens: list[int]) -> Iterator[tuple[int, int]]:
    """Requests and tokens in each window that begins with a request."""
    for start in moments:
        inside = [index for index, at in enumerate(moments) if start <= at < start + WINDOW_S]
        yield len(inside), sum(tokens[index] for index in inside)


@pytest.mark.parametrize("seed", range(20))
def test_no_minute_holds_more_than_is_allowed_and_nobody_waits_longer_than_needed(seed: int) -> None:
    rng = random.Random(seed)
    limit, now = RateLimit(rpm=20, tpm=5_000), 0.0
    moments, tokens = [], []
    for _ in range(300):
        now += rng.choice((0.0, 0.1, 5.0))
        size = rng.randrange(50, 1_500)
        moments.append(limit.reserve(now, size).at)
        tokens.append(size)
        assert moments[-1] >= now
    assert moments == sorted(moments)
    busiest = [max(column) for column in zip(*in_a_minute(moments, tokens), strict=True)]
    assert busiest[0] <= 20
    assert busiest[1] <= 5_000


def test_requests_leave_at_once_until_the_limit_and_then_when_the_oldest_is_a_minute_old() -> None:
    limit = RateLimit(rpm=3, tpm=None)
    clock = count()
    assert [limit.reserve(float(next(clock)), 1).at for _ in range(7)] == [0, 1, 2, 60, 61, 62, 120]


def test_a_request_larger_than_the_limit_goes_alone() -> None:
    limit = RateLimit(rpm=None, tpm=100)
    assert [limit.reserve(0.0, size).at for size in (50, 500, 50)] == [0.0, 60.0, 120.0]


def test_a_correction_of_the_tokens_counts_for_those_who_come_later() -> None:
    limit = RateLimit(rpm=None, tpm=100)
    limit.reserve(0.0, 90).tokens = 10
    assert limit.reserve(1.0, 80).at == 1.0


def test_without_limits_nobody_waits() -> None:
    limit = RateLimit(rpm=None, tpm=None)
    assert {limit.reserve(5.0, 10**9).at for _ in range(1000)} == {5.0}
