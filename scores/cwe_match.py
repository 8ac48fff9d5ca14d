"""The official reading of CTIBench-RCM: the last CWE id of the answer equals the label.

Case is ignored, and a non-breaking hyphen (U+2011), another dash or a minus sign counts as a hyphen. `expected` is the
id, or {"cwe": id}. Source: xashru/cti-bench, evaluation notebook; FAITH adds the hyphens.
"""

import re

from fapo import Case, Prediction, Score

_ID = re.compile(r"CWE[-\u2010-\u2015\u2212]([0-9]+)", re.IGNORECASE)


def score(case: Case, prediction: Prediction) -> Score:
    label = case.expected["cwe"] if isinstance(case.expected, dict) else case.expected
    expected = str(label).strip().upper()
    named = [f"CWE-{number}" for number in _ID.findall(str(prediction.output))]
    if not named:
        return Score(0.0, feedback="the answer names no CWE id")
    if named[-1] == expected:
        return Score(1.0)
    if expected in named:
        return Score(0.0, feedback=f"the right id is named, but the last one counts, and that is {named[-1]}")
    return Score(0.0, feedback=f"answers {named[-1]}, which is not the label")
