"""The share of expected fields that the output has with an equal value.

`expected` is a mapping of field to value; the output a mapping too. Either may be the JSON text of one. Texts are
compared without regard to case and white space, numbers by value ("3" equals 3, "1,041.50" equals 1041.5); a number
with a leading zero, such as an id, is a text. Mappings and lists must agree in all their parts.
"""

import json
import re
import reprlib
from decimal import Decimal
from typing import Any

from fapo import Case, Prediction, Score

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*|[1-9][0-9]{0,2}(,[0-9]{3})+)(\.[0-9]+)?")
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80


def plain(value: Any) -> Decimal | str | None:
    if value is None:
        return None
    text = " ".join(str(value).split()).casefold()
    return Decimal(text.replace(",", "")) if _NUMBER.fullmatch(text) else text


def same(gold: Any, value: Any) -> bool:
    if isinstance(gold, dict):
        return isinstance(value, dict) and gold.keys() == value.keys() and all(same(gold[k], value[k]) for k in gold)
    if isinstance(gold, list):
        return isinstance(value, list) and len(gold) == len(value) and all(map(same, gold, value))
    return not isinstance(value, dict | list) and plain(gold) == plain(value)


def as_mapping(output: Any) -> dict[str, Any] | None:
    if isinstance(output, str):
        try:
            output = json.loads(output)
        except (ValueError, RecursionError):
            return None
    return output if isinstance(output, dict) else None


def score(case: Case, prediction: Prediction) -> Score:
    expected, found = as_mapping(case.expected), as_mapping(prediction.output)
    if not expected:
        raise ValueError("`expected` must be a mapping of field to value")
    if found is None:
        return Score(0.0, dict.fromkeys(expected, 0.0), "the output is not a JSON object")
    breakdown = {field: float(same(gold, found.get(field))) for field, gold in expected.items()}
    notes = [
        f"{field} is missing"
        if found.get(field) is None
        else f"{field} is {_BRIEF.repr(found[field])}; expected {_BRIEF.repr(gold)}"
        for field, gold in expected.items()
        if not breakdown[field]
    ]
    return Score(sum(breakdown.values()) / len(breakdown), breakdown, "; ".join(notes))
