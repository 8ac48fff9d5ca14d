"""What each step of a pipeline did over many cases: calls, tokens, cost, latency, errors."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from fapo.records import CaseRecord, Step, StepKind, Usage
from fapo.stats import nearest_rank


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. Tokens and cost are what was paid for now: replies from the cache count nothing, unless asked for
    `uncached`. None is unknown.

    `p50_s` and `p95_s` are seconds over all calls: what a reply took when it was given, from the cache or not.
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


@dataclass(slots=True)
class _Sums:
    kind: StepKind
    calls: int = 0
    cached: int = 0
    errors: int = 0
    usage: Usage = field(default_factory=Usage)
    seconds: array[float] = field(default_factory=lambda: array("d"))

    def add(self, step: Step, *, uncached: bool) -> None:
        self.calls += 1
        self.cached += step.cached
        self.errors += step.error is not None
        self.usage += step.demand if uncached else step.usage
        self.seconds.append(step.duration_s)


def step_rows(records: Iterable[CaseRecord], *, uncached: bool = False) -> tuple[StepRow, ...]:
    """One row for each step, in order of first appearance. A name used by both kinds of step gets a row for each.

    `uncached` counts tokens and cost as if no reply were in the cache. Takes the records one at a time and keeps none.
    """
    sums: dict[tuple[str, StepKind], _Sums] = {}
    for record in records:
        for step in record.steps:
            sums.setdefault((step.name, step.kind), _Sums(step.kind)).add(step, uncached=uncached)
    return tuple(_row(name, found) for (name, _), found in sums.items())


def _row(name: str, found: _Sums) -> StepRow:
    return StepRow(
        step=name,
        kind=found.kind,
        calls=found.calls,
        cached=found.cached,
        input_tokens=found.usage.input_tokens,
        output_tokens=found.usage.output_tokens,
        cost_usd=found.usage.cost_usd,
        p50_s=nearest_rank(found.seconds, 0.5),
        p95_s=nearest_rank(found.seconds, 0.95),
        errors=found.errors,
    )
