"""LiveBench's math questions as GEPA splits them: shuffled with seed 0, and cut at 33 and 66 percent."""

import random

from fapo.errors import UsageError

KNOWN = {"math_comp", "olympiad", "AMPS_Hard"}


def cases(rows):
    """Source `test` to splits. Raises UsageError for a task that the score has no parser for."""
    questions = [_case(row) for row in rows["test"]]
    unknown = sorted({case["metadata"]["task"] for case in questions} - KNOWN)
    if unknown:
        raise UsageError(f"the questions have a task without a parser: {', '.join(unknown)}; fetch the known revision")
    random.Random(0).shuffle(questions)
    first, second = int(len(questions) * 0.33), int(len(questions) * 0.66)
    return {"train": questions[:first], "validation": questions[first:second], "test": questions[second:]}


def _case(row):
    about = {name: str(row[name]) for name in ("task", "subtask", "year") if row.get(name) not in (None, "")}
    return {
        "id": str(row["question_id"]),
        "inputs": {"question": str(row["turns"][0])},
        "expected": str(row["ground_truth"]),
        "metadata": about,
    }
