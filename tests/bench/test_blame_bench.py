"""Planted faults, end to end: the faults hurt, and both methods name the step."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bench.blame.__main__ import all_rows, table
from bench.blame.families import PARTS, TWO_HOP


def test_planted_faults_hurt_and_are_blamed_on_their_step() -> None:
    chosen = [fault for fault in TWO_HOP.faults if fault.name in ("passages not handed on", "search cut off")]
    rows = asyncio.run(all_rows([replace(TWO_HOP, faults=tuple(chosen)), replace(PARTS, faults=PARTS.faults[3:4])]))
    healthy = [row for row in rows if row.step is None]
    planted = [row for row in rows if row.step is not None]
    assert all(row.score > 0.9 and row.by_replay is None for row in healthy)
    assert all(row.score < row.healthy - 0.25 for row in planted)
    assert [row.by_replay for row in planted] == [row.step for row in planted]
    assert all(row.calls < row.full_calls for row in planted)
    assert "3 of 3 planted faults blamed" in "\n".join(table(rows))
