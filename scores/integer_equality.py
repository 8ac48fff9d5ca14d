"""Equality of integers, for AIME: int(expected) == int(output), and 0 for what is no integer by itself.

That is the published reading: "70.", "\\boxed{70}" or a sentence count 0. `extracted` is the same after the last boxed
number, or else the last integer, was taken from the output; with `expected` = {"answer": ..., "extract": true} that is
the score. Source: gepa-artifact's AIME benchmark.
"""

import re
from typing import Any

from fapo import Case, Prediction, Score

_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text\{)?\s*(-?[\d,]+)")
_INTEGER = re.compile(r"(?<![\d.])-?\d[\d,]*(?!\.?\d)")
_LONGEST = 4000
"""Digits that Python turns into an integer."""


def strict(output: Any) -> int | None:
    if isinstance(output, bool) or output is None:
        return None
    if isinstance(output, int):
        return output
    text = str(output)
    try:
        return int(text) if len(text) <= _LONGEST else None
    except ValueError:
        return None


def extracted(output: Any) -> int | None:
    text = "" if output is None else str(output)
    found = _BOXED.findall(text) or _INTEGER.findall(text)
    return strict(found[-1].replace(",", "")) if found else None


def score(case: Case, prediction: Prediction) -> Score:
    given = case.expected if isinstance(case.expected, dict) else {"answer": case.expected}
    gold = int(given["answer"])
    exact, loose = strict(prediction.output) == gold, extracted(prediction.output) == gold
    right = loose if given.get("extract") else exact
    return Score(float(right), {"extracted": float(loose)}, "" if right else _feedback(prediction.output, loose=loose))


def _feedback(output: Any, *, loose: bool) -> str:
    if loose:
        return "the number is right, but more than the number was said: only an integer alone counts"
    if extracted(output) is None:
        return "no integer was answered"
    return "another integer is right"
