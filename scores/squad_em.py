"""Exact match after the normalisation of SQuAD, as HotpotQA's programs in GEPA's artifact are scored; F1 beside it.

Normalised: Unicode NFD, lower case, ASCII punctuation removed, the articles a, an and the removed, spaces collapsed.
`expected` is the answer, or a list of accepted ones. `f1` is the token F1 of HotpotQA's evaluation: 0 where either side
is yes, no or noanswer and they differ. Source: hotpot_evaluate_v1.py and gepa-artifact's hotpotQA benchmark.
"""

import re
import string
import unicodedata
from collections import Counter
from typing import Any

from fapo import Case, Prediction, Score

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CLOSED = {"yes", "no", "noanswer"}


def normalized(text: str) -> str:
    plain = unicodedata.normalize("NFD", text).lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def f1(predicted: str, gold: str) -> float:
    """Token F1 of two normalised texts."""
    if predicted != gold and (predicted in _CLOSED or gold in _CLOSED):
        return 0.0
    ours, theirs = predicted.split(), gold.split()
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs)) if shared else float(ours == theirs)


def accepted(expected: Any) -> list[str]:
    answers = expected if isinstance(expected, list) else [expected]
    return [normalized(str(answer)) for answer in answers]


def score(case: Case, prediction: Prediction) -> Score:
    golds = accepted(case.expected)
    said = normalized("" if prediction.output is None else str(prediction.output))
    right = said in golds
    return Score(float(right), {"f1": max(f1(said, gold) for gold in golds)}, "" if right else _feedback(said, golds))


def _feedback(said: str, golds: list[str]) -> str:
    if not said:
        return "the answer is empty"
    if any(gold and f" {gold} " in f" {said} " for gold in golds):
        return "the right answer is in it, among other words: only the answer itself counts"
    return "this is not the answer"
