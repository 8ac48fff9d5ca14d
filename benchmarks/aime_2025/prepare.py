"""AIME as GEPA splits it: 90 problems of 2022 to 2024, shuffled with seed 0 and halved; test are the 30 of 2025."""

import random

from fapo.errors import UsageError

ANSWERS = (
    70, 588, 16, 117, 279, 504, 821, 77, 62, 81, 259, 510, 204, 60, 735,
    468, 49, 82, 106, 336, 293, 237, 610, 149, 907, 113, 19, 248, 104, 240,
)  # fmt: skip
"""The answers of 2025, first paper I, then II."""


def cases(rows):
    """Sources `train` and `test` to splits. Answers stay as the files have them: "016" is not 16."""
    older = list(rows["train"])
    random.Random(0).shuffle(older)
    half = len(older) // 2
    test = [_case(f"aime-2025-{int(row['problem_idx']):02}", row) for row in rows["test"]]
    wrong = [case["id"] for case, answer in zip(test, ANSWERS, strict=False) if int(case["expected"]) != answer]
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: not the answers of AIME 2025: the rows are others or in another order")
    return {
        "train": [_case(f"aimo-{row['id']}", row) for row in older[:half]],
        "validation": [_case(f"aimo-{row['id']}", row) for row in older[half:]],
        "test": test,
    }


def _case(name, row):
    return {"id": name, "inputs": {"problem": str(row["problem"])}, "expected": str(row["answer"])}
