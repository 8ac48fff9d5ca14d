"""The share of expected fields that the output has with an equal value.

`expected` is a mapping of field to value; the output a mapping, or JSON text of one. Texts are compared without regard
to case and white space, numbers by value ("3" equals 3, "41.50" equals 41.5).
"""

import json
from typing import Any

from fapo import Case, Prediction, Score


def normal(value: Any) -> Any:
    text = " ".join(str(value).split()).casefold()
    try:
        return float(text)
    except ValueError:
        return text


def as_mapping(output: Any) -> dict[str, Any] | None:
    if isinstance(output, str):
        try:
            output = json.loads(output)
        except ValueError:
            return None
    return output if isinstance(output, dict) else None


def score(case: Case, prediction: Prediction) -> Score:
    found = as_mapping(prediction.output)
    if found is None:
        return Score(0.0, feedback="the output is not a JSON object")
    breakdown = {}
    notes = []
    for field, gold in case.expected.items():
        value = found.get(field)
        right = value is not None and normal(value) == normal(gold)
        breakdown[field] = float(right)
        if value is None:
            notes.append(f"{field} is missing")
        elif not right:
            notes.append(f"{field} is {value!r}; expected {gold!r}")
    return Score(sum(breakdown.values()) / len(breakdown), breakdown, "; ".join(notes))
