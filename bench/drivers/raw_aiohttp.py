"""The floor: nothing but aiohttp on one event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.work import KEY, MODEL, SAMPLING, STEPS, Case, arguments, messages, report, score


async def run_case(session: aiohttp.ClientSession, url: str, case: Case) -> float:
    text = case.message
    for step in STEPS:
        body = {"model": MODEL, "messages": messages(step, text), **SAMPLING}
        async with session.post(url, json=body) as response:
            text = (await response.json())["choices"][0]["message"]["content"]
    return score(case, text)


async def worker(session: aiohttp.ClientSession, url: str, waiting: Iterator[Case], scores: list[float]) -> None:
    for case in waiting:
        scores.append(await run_case(session, url, case))


async def main() -> None:
    base_url, cases, concurrency = arguments()
    waiting = iter(cases)
    scores: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {KEY}"}) as session:
        url = f"{base_url}/chat/completions"
        await asyncio.gather(*(worker(session, url, waiting, scores) for _ in range(concurrency)))
    report(scores)


if __name__ == "__main__":
    asyncio.run(main())
