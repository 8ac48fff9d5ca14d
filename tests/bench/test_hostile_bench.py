"""Cheats that run are stopped, and an honest pipeline is not mistaken for one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from bench.hostile import RUN_CHEATS, gateway, hostile, run_cheat


def test_every_cheat_is_stopped_as_it_runs(tmp_path: Path) -> None:
    found = hostile(tmp_path)
    assert [name for name, stopped in found.items() if stopped is None] == []
    assert len(found) == len(RUN_CHEATS) + 5
    assert found["ten times the documents"] == "guard"
    assert found["looks for case files"] == "sandbox"


def test_what_takes_no_more_than_allowed_is_not_stopped(tmp_path: Path) -> None:
    more = RUN_CHEATS["more calls than allowed"]

    async def go() -> str | None:
        async with gateway(tmp_path) as connection:
            return await run_cheat(replace(more, new=more.new.replace("range(4)", "range(2)")), connection, tmp_path)

    assert asyncio.run(go()) is None
