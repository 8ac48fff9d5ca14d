"""`litellm.acompletion` as it comes, on one event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import litellm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.work import KEY, MODEL, SAMPLING, STEPS, Case, arguments, messages, report, score


async def run_case(base_url: str, case: Case) -> float:
    text = case.message
    for step in STEPS:
        response = await litellm.acompletion(
            model=f"openai/{MODEL}", messages=messages(step, text), api_base=base_url, api_key=KEY, **SAMPLING
        )
        text = response.choices[0].message.content
    return score(case, text)


async def worker(base_url: str, waiting: Iterator[Case], scores: list[float]) -> None:
    for case in waiting:
        scores.append(await run_case(base_url, case))


async def main() -> None:
    base_url, cases, concurrency = arguments()
    waiting = iter(cases)
    scores: list[float] = []
    await asyncio.gather(*(worker(base_url, waiting, scores) for _ in range(concurrency)))
    report(scores)


if __name__ == "__main__":
    asyncio.run(main())
