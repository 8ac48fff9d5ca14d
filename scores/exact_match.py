"""Exact match after the normalization of SQuAD: case, punctuation, articles and white space do not count.

`expected` is a text, a list of accepted texts, or a mapping with one entry that is either.
Source: Rajpurkar et al. 2016, evaluation script of SQuAD 1.1.
"""

import re
import string
import unicodedata

from fapo import Case, Prediction, Score

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    lowered = unicodedata.normalize("NFD", text).casefold().translate(_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", lowered).split())


def accepted(expected: object) -> list[str]:
    if isinstance(expected, dict):
        (expected,) = expected.values()
    return [str(text) for text in expected] if isinstance(expected, list) else [str(expected)]


def score(case: Case, prediction: Prediction) -> Score:
    answer = normalize(str(prediction.output))
    golds = accepted(case.expected)
    if any(normalize(gold) == answer for gold in golds):
        return Score(1.0)
    contained = [gold for gold in golds if f" {normalize(gold)} " in f" {answer} "]
    if contained:
        return Score(0.0, feedback=f"the answer contains {contained[0]!r}, which is right, among other words")
    return Score(0.0, feedback=f"answers {str(prediction.output)[:80]!r}; expected {golds[0]!r}")
