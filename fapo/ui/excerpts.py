"""Short texts of a record: what a table shows of a case, and what a search looks through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fapo.records import CaseRecord

SHOWN = 200
"""Characters of a question or an answer in a table."""
SEARCHED = 3000
"""Characters of a case that a search looks through."""
_OF_ONE = 700


def as_text(value: Any) -> str:
    """A JSON value as a person reads it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)


def one_line(text: str, most: int) -> str:
    """The beginning of a text with its white space folded."""
    folded = " ".join(text[: 4 * most].split())
    return folded if len(folded) <= most else f"{folded[: most - 1]}…"


def shown_question(record: CaseRecord) -> str:
    """What the first step was given; the inputs of a case are in no trace."""
    return one_line("  ".join(_given(record)), SHOWN)


def shown_answer(record: CaseRecord) -> str:
    """The prediction, or what stood in its way."""
    if record.failure is not None:
        return one_line(record.failure.message, SHOWN)
    return "" if record.prediction is None else one_line(as_text(record.prediction.output), SHOWN)


def search_text(record: CaseRecord) -> str:
    """Id, input, prediction, feedback, failure and outputs of steps, folded for comparison without case."""
    parts = [record.case_id, *_given(record)]
    if record.prediction is not None:
        parts += [as_text(record.prediction.output), *record.prediction.evidence]
    if record.score is not None:
        parts += [record.score.feedback, *record.score.step_feedback.values()]
    if record.failure is not None:
        parts.append(record.failure.message)
    parts += [as_text(step.output) for step in record.steps]
    return "\n".join(" ".join(part[:_OF_ONE].split()) for part in parts)[:SEARCHED].casefold()


def _given(record: CaseRecord) -> Iterator[str]:
    inputs = record.steps[0].inputs if record.steps else None
    if not isinstance(inputs, dict):
        yield "" if inputs is None else as_text(inputs)
        return
    values = inputs.get("variables") or inputs.get("kwargs")
    if isinstance(values, dict) and values:
        yield from (as_text(value) for value in values.values())
    elif isinstance(args := inputs.get("args"), list):
        yield from (as_text(value) for value in args)
    elif isinstance(messages := inputs.get("messages"), list) and messages and isinstance(messages[-1], dict):
        yield as_text(messages[-1].get("content"))
