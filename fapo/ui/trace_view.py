"""One case as its page shows it: each step with what was sent, what came back, and what it took."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fapo.attribution.blame import Blame
from fapo.records import Case, CaseRecord, Step

LIMIT = 20_000
"""Characters of one value that are shown at once."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Block:
    """A value with its label. `cut` counts the characters that are left out; `data` says that it is JSON."""

    label: str
    text: str
    data: bool
    cut: int = 0


@dataclass(frozen=True, slots=True)
class StepCard:
    """One step. `left` and `width` place it in the case's time, each in [0, 1]."""

    number: int
    step: Step
    sent: tuple[Block, ...]
    variables: tuple[Block, ...]
    output: Block
    blames: tuple[Blame, ...]
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class TraceView:
    """One record, with its case where that is at hand. `blames` without a step are those of no step that ran."""

    record: CaseRecord
    inputs: tuple[Block, ...]
    expected: Block | None
    metadata: Block | None
    prediction: Block | None
    evidence: Block | None
    steps: tuple[StepCard, ...]
    blames: tuple[Blame, ...]
    is_cut: bool


def view_trace(record: CaseRecord, case: Case | None, blames: Sequence[Blame], *, whole: bool = False) -> TraceView:
    """What to show of a record. Values are cut, but for `whole`."""
    limit = 2**62 if whole else LIMIT
    span = max([record.duration_s, *(step.start_s + step.duration_s for step in record.steps)]) or 1.0
    cards = tuple(_card(number, step, blames, span, limit, record) for number, step in enumerate(record.steps, 1))
    names = {step.name for step in record.steps}
    prediction = record.prediction
    blocks = _fields(case.inputs, limit) if case is not None else ()
    view = TraceView(
        record=record,
        inputs=blocks,
        expected=None if case is None or case.expected is None else block("expected", case.expected, limit),
        metadata=block("metadata", case.metadata, limit) if case is not None and case.metadata else None,
        prediction=None if prediction is None else block("prediction", prediction.output, limit),
        evidence=block("evidence", list(prediction.evidence), limit) if prediction and prediction.evidence else None,
        steps=cards,
        blames=tuple(blame for blame in blames if blame.step not in names),
        is_cut=False,
    )
    shown = [*view.inputs, *(b for card in cards for b in (*card.sent, *card.variables, card.output))]
    shown += [b for b in (view.expected, view.metadata, view.prediction, view.evidence) if b is not None]
    return replace(view, is_cut=any(b.cut for b in shown))


def _card(number: int, step: Step, blames: Sequence[Blame], span: float, limit: int, record: CaseRecord) -> StepCard:
    last = max(n for n, other in enumerate(record.steps, 1) if other.name == step.name)
    named = tuple(blame for blame in blames if blame.step == step.name) if number == last else ()
    sent, variables = _inputs(step, limit)
    output = block("reply" if step.kind == "llm" else "result", step.output, limit)
    left, width = (min(1.0, seconds / span) for seconds in (step.start_s, step.duration_s))
    return StepCard(number, step, sent, variables, output, named, left, width)


def _inputs(step: Step, limit: int) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """Messages as they were sent and the variables that they were made of; of a function, its arguments."""
    inputs = step.inputs
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    if isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
        return tuple(_messages(messages, limit)), _fields(inputs.get("variables") or {}, limit)
    if isinstance(inputs, dict) and set(inputs) == {"args", "kwargs"} and isinstance(inputs["args"], list):
        named = {str(number): value for number, value in enumerate(inputs["args"], 1)}
        rest = inputs["kwargs"] if isinstance(inputs["kwargs"], dict) else {"kwargs": inputs["kwargs"]}
        return _fields(named | rest, limit), ()
    return (block("input", inputs, limit),), ()


def _messages(messages: Sequence[dict[str, Any]], limit: int) -> Iterator[Block]:
    for message in messages:
        role = str(message.get("role", "no role"))
        yield block(role, message.get("content"), limit)
        if extra := {key: value for key, value in message.items() if key not in ("role", "content")}:
            yield block(f"{role}, further", extra, limit)


def _fields(values: Any, limit: int) -> tuple[Block, ...]:
    if not isinstance(values, dict):
        return (block("value", values, limit),)
    return tuple(block(str(name), value, limit) for name, value in values.items())


def block(label: str, value: Any, limit: int = LIMIT) -> Block:
    """A value as text: passages numbered, structure as indented JSON."""
    if isinstance(value, str):
        text, data = value, False
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        text, data = "\n".join(f"[{number}] {item}" for number, item in enumerate(value, 1)), False
    else:
        text, data = json.dumps(value, ensure_ascii=False, indent=2, default=repr), True
    cut = max(0, len(text) - limit)
    return Block(clean(label)[:200], clean(text[:limit]), data, cut)


def clean(text: str) -> str:
    """Without signs that a browser would not show, or that turn the direction of what follows."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text).encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class PairedStep:
    """A step of two traces; a side is None where the step did not run there."""

    name: str
    a: Step | None
    b: Step | None

    @property
    def is_same(self) -> bool:
        return self.a is not None and self.b is not None and self.a.output == self.b.output

    @property
    def texts(self) -> tuple[str, str]:
        """The outputs of both sides as text."""
        a, b = ("" if step is None else step.error or block("", step.output).text for step in (self.a, self.b))
        return a, b


def pair_steps(a: CaseRecord | None, b: CaseRecord | None) -> tuple[PairedStep, ...]:
    """The steps of two traces by name and how often it came before, in the order of B, then what only A has."""
    sides = [_numbered(record) for record in (a, b)]
    order = [*sides[1], *(key for key in sides[0] if key not in sides[1])]
    return tuple(PairedStep(key[0], sides[0].get(key), sides[1].get(key)) for key in order)


def _numbered(record: CaseRecord | None) -> dict[tuple[str, int], Step]:
    found: dict[tuple[str, int], Step] = {}
    for step in record.steps if record is not None else ():
        found[step.name, sum(name == step.name for name, _ in found)] = step
    return found
