"""What stands beside a mean score: its parts, and what a case took of what the benchmark's guards bound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fapo.data import Guards
from fapo.records import CaseRecord, Usage


@dataclass(frozen=True, slots=True)
class Beside:
    """`parts` are means of the score's breakdown over the cases that have the part.

    `documents` and `most_documents` are how many a prediction named, on average and at most; None where none did.
    `calls`, `tokens` and `cost_usd` are means a case with nothing cached; None is unknown.
    """

    parts: Mapping[str, float]
    documents: float | None
    most_documents: int | None
    calls: float | None
    tokens: float | None
    cost_usd: float | None


def beside(records: Iterable[CaseRecord]) -> Beside:
    """Takes the records one at a time and keeps none."""
    parts: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    cases, predicted, named, most, demand = 0, 0, 0, 0, Usage()
    for record in records:
        cases += 1
        demand += record.demand
        if record.prediction is not None:
            predicted += 1
            documents = len(set(record.prediction.evidence))
            named, most = named + documents, max(most, documents)
        for name, value in record.score.breakdown.items() if record.score is not None else ():
            parts[name][0] += value
            parts[name][1] += 1
    tokens = (
        None
        if demand.input_tokens is None or demand.output_tokens is None
        else demand.input_tokens + demand.output_tokens
    )
    return Beside(
        {name: total / count for name, (total, count) in parts.items()},
        named / predicted if most else None, most or None,
        demand.llm_calls / cases if cases else None,
        None if tokens is None or not cases else tokens / cases,
        None if demand.cost_usd is None or not cases else demand.cost_usd / cases,
    )  # fmt: skip


def guard_lines(guards: Guards, found: Beside) -> Iterator[str]:
    """What each guard allows, and what a case took of it."""
    if guards.documents is not None:
        took = "none" if found.documents is None else f"{found.documents:.1f} a case, {found.most_documents} at most"
        yield f"documents named: {took}; {guards.documents} are allowed"
    for name, factor, took in (
        ("calls", guards.calls, _shown(found.calls, "{:.1f}")),
        ("tokens", guards.tokens, _shown(found.tokens, "{:,.0f}")),
        ("dollars", guards.cost, _shown(found.cost_usd, "${:.4f}")),
    ):
        if factor is not None:
            yield f"{name}: {took} a case; one of a variant may take {factor:g} times the baseline's mean"
    if guards.inputs is not None:
        yield f"inputs that pipeline code sees: {', '.join(guards.inputs)}"


def _shown(value: float | None, form: str) -> str:
    return "unknown" if value is None else form.format(value)
