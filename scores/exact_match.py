"""Exact match after the normalization of SQuAD: case, punctuation, articles and white space do not count.

`expected` is a text, a list of accepted texts, or a mapping whose `answer`, or only entry, is either. Where SQuAD
leaves nothing of a text, as of the option "A" or the sign "?", the text itself is compared, so that an empty answer
does not match it.
Source: Rajpurkar et al. 2016, evaluation script of SQuAD 1.1.
"""

import re
import string
import unicodedata

from fapo import Case, Prediction, Score

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    lowered = unicodedata.normalize("NFD", text).casefold()
    words = lowered.translate(_PUNCTUATION)
    stages = (re.sub(r"\b(a|an|the)\b", " ", words), words, lowered)
    return next((kept for stage in stages if (kept := " ".join(stage.split()))), "")


def accepted(expected: object) -> list[str]:
    if isinstance(expected, dict):
        if "answer" not in expected and len(expected) != 1:
            raise ValueError("`expected` has several entries and none is named `answer`")
        expected = expected.get("answer", next(iter(expected.values())))
    return [str(text) for text in expected] if isinstance(expected, list) else [str(expected)]


def score(case: Case, prediction: Prediction) -> Score:
    given = "" if prediction.output is None else str(prediction.output)
    answer = normalize(given)
    golds = accepted(case.expected)
    if any(normalize(gold) == answer for gold in golds):
        return Score(1.0)
    contained = [gold for gold in golds if f" {normalize(gold)} " in f" {answer} "]
    if contained:
        return Score(0.0, feedback=f"the answer contains {contained[0]!r}, which is right, among other words")
    return Score(0.0, feedback=f"answers {given[:80]!r}; expected {golds[0]!r}")
