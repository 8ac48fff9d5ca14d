"""What each step of a pipeline did over many cases: calls, tokens, cost, latency, errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fapo.records import CaseRecord, Step, StepKind, Usage


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. Tokens and cost are what was paid for now: replies from the cache count nothing; None is
    unknown.

    `p50_s` and `p95_s` are seconds over the calls that were not answered from the cache; None without any.
    """

    step: str
    kind: StepKind
    calls: int
    cached: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    p50_s: float | None
    p95_s: float | None
    errors: int


def step_rows(records: Iterable[CaseRecord]) -> tuple[StepRow, ...]:
    """One row for each step, in order of first appearance. A name used by both kinds of step gets a row for
    each.
    """
    groups: dict[tuple[str, StepKind], list[Step]] = {}
    for record in records:
        for step in record.steps:
            groups.setdefault((step.name, step.kind), []).append(step)
    return tuple(_row(name, kind, steps) for (name, kind), steps in groups.items())


def _row(name: str, kind: StepKind, steps: Sequence[Step]) -> StepRow:
    usage = sum((step.usage for step in steps), Usage())
    seconds = sorted(step.duration_s for step in steps if not step.cached)
    return StepRow(
        step=name,
        kind=kind,
        calls=len(steps),
        cached=sum(step.cached for step in steps),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=usage.cost_usd,
        p50_s=nearest_rank(seconds, 0.5),
        p95_s=nearest_rank(seconds, 0.95),
        errors=sum(step.error is not None for step in steps),
    )


def nearest_rank(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of the sorted values that at least `share` of them do not exceed: always one that was
    measured.
    """
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None
