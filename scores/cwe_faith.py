"""FAITH's reading of a CWE answer: the one id that it names, or else what stands after "CWE:" or "ID:".

Case is ignored and a non-breaking hyphen counts as one. An id counts only if the answer names no other; `improper` is 1
where it was read by the fall-back. `expected` is the id, or {"cwe": id}. Source: cisco-foundation-ai/faith.
"""

import re

from fapo import Case, Prediction, Score

_ID = re.compile(r"CWE[-\u2010-\u2015\u2212](\d+)", re.IGNORECASE)
_LABELLED = re.compile(r"\b(?:CWE|ID)\s*:\s*(\d+)", re.IGNORECASE)


def read(answer: str) -> tuple[str | None, bool]:
    """The id that an answer gives, if it gives one, and whether its format was improper."""
    named = set(_ID.findall(answer))
    if len(named) == 1:
        return f"CWE-{named.pop()}", False
    labelled = set(_LABELLED.findall(answer))
    if not named and len(labelled) == 1:
        return f"CWE-{labelled.pop()}", True
    return None, bool(labelled)


def score(case: Case, prediction: Prediction) -> Score:
    label = case.expected["cwe"] if isinstance(case.expected, dict) else case.expected
    found, improper = read("" if prediction.output is None else str(prediction.output))
    right = found == str(label).strip().upper()
    return Score(float(right), {"improper": float(improper)}, "" if right else _feedback(found, prediction.output))


def _feedback(found: str | None, output: object) -> str:
    if found is not None:
        return f"answers {found}, which is not the weakness"
    several = len(set(_ID.findall(str(output)))) > 1
    return "names several CWE ids: only one counts" if several else "the answer names no CWE id"
