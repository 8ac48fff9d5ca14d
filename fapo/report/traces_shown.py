"""Traces as a page shows them: cut to what a person reads, and nothing left out in silence."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fapo.records import CaseRecord, Step
from fapo.report.facts import CaseChange
from fapo.report.trace_parts import field_parts, input_parts, one_line, value_text
from fapo.report.words import dollars, number, seconds

MOST_CHARACTERS = 1500
"""Of one value."""
MOST_STEPS = 12
"""Of one trace."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A labelled text."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class StepShown:
    name: str
    kind: str
    facts: str
    error: str
    inputs: tuple[Shown, ...]
    output: str


@dataclass(frozen=True, slots=True)
class TraceShown:
    """One arm's trace. `left_out` counts steps that are not shown."""

    arm: str
    value: float | None
    ending: tuple[str, ...]
    output: str
    steps: tuple[StepShown, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class CaseShown:
    case_id: str
    baseline: float | None
    best: float | None
    answers: tuple[str, ...]
    given: tuple[Shown, ...]
    traces: tuple[TraceShown, ...]


def case_shown(change: CaseChange, first: str) -> CaseShown:
    """`first` is what the arm is called that is the baseline of a run."""
    given: list[Shown] = []
    if change.case is not None:
        given = [Shown(f"input: {part.label}" if part.label else "inputs", value_text(part.value, MOST_CHARACTERS))
                 for part in field_parts(change.case.inputs)]  # fmt: skip
        given.append(Shown("expected", value_text(change.case.expected, MOST_CHARACTERS)))
    arms = [(first, change.baseline), ("best", change.best)]
    traces = tuple(_trace(arm, record) for arm, record in arms if record is not None)
    best = change.best.value if change.best is not None else None
    answers = tuple(textwrap.shorten(trace.output or "(empty text)", 60, placeholder=" …") for trace in traces)
    return CaseShown(one_line(change.case_id), change.baseline.value, best, answers, tuple(given), traces)


def _trace(arm: str, record: CaseRecord) -> TraceShown:
    output: Any = None if record.prediction is None else record.prediction.output
    steps = tuple(_step(step) for step in record.steps[:MOST_STEPS])
    return TraceShown(arm, record.value, tuple(_ending(record)), value_text(output, MOST_CHARACTERS), steps,
                      max(0, len(record.steps) - MOST_STEPS))  # fmt: skip


def _ending(record: CaseRecord) -> Iterator[str]:
    if (failure := record.failure) is not None:
        where = f" at step {one_line(failure.step)}" if failure.step else ""
        yield f"failed ({failure.owner}, {failure.kind}){where}: {value_text(failure.message, 400)}"
    if record.score is not None:
        if record.score.feedback:
            yield value_text(record.score.feedback, 400)
        yield from (f"{one_line(name)}: {value_text(text, 400)}" for name, text in record.score.step_feedback.items())
    if record.prediction is not None and record.prediction.evidence:
        yield f"evidence: {value_text('; '.join(record.prediction.evidence), 400)}"


def _step(step: Step) -> StepShown:
    facts = [seconds(step.duration_s)]
    if step.kind == "llm":
        use = step.demand
        facts = [one_line(step.model or "model unknown"), *facts,
                 f"{number(use.input_tokens)} tokens in, {number(use.output_tokens)} out",
                 "from the cache" if step.cached else _price(use.cost_usd)]  # fmt: skip
    inputs = tuple(
        Shown(one_line(part.label), value_text(part.value, MOST_CHARACTERS)) for part in input_parts(step.inputs)
    )
    return StepShown(one_line(step.name), step.kind, ", ".join(facts),
                     "" if step.error is None else value_text(step.error, 400), inputs,
                     value_text(step.output, MOST_CHARACTERS))  # fmt: skip


def _price(cost: float | None) -> str:
    return "cost unknown" if cost is None else dollars(cost)
