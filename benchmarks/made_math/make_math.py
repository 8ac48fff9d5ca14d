"""Makes the samples of the benchmarks aime_2025 and livebench_math, with a seed. Run it again: the same files.

Everything is made up: integers.py has problems whose answer is an integer from 0 to 999, rows.py tasks in the four
forms of LiveBench. Each answer is calculated in two ways, which have to agree.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from integers import Problem, make_problem
from rows import Row, make_choice, make_formula, make_number, make_proof

HERE = Path(__file__).parent
SEED = 20261128
AIME = {"train": 45, "validation": 45, "test": 30}
LIVEBENCH = {"train": 40, "validation": 40, "test": 40}
SHARES: tuple[tuple[int, Callable[[random.Random, int], Row]], ...] = (
    (12, make_choice), (8, make_number), (8, make_proof), (12, make_formula),
)  # fmt: skip
SPLITS = ("train", "validation", "test")


def distinct(make: Callable[[int], Any], text: Callable[[Any], str], seen: set[str]) -> Iterator[Any]:
    """What `make` makes of 0, 1, ..., each text once: a repeated one is made anew."""
    number = 0
    while True:
        found = make(number)
        if text(found) not in seen:
            seen.add(text(found))
            number += 1
            yield found


def aime_cases(rng: random.Random) -> dict[str, list[dict[str, Any]]]:
    problems: Iterator[Problem] = distinct(lambda number: make_problem(rng, number), lambda each: each.text, set())
    return {split: [_aime_case(split, at, next(problems)) for at in range(AIME[split])] for split in SPLITS}


def _aime_case(split: str, at: int, problem: Problem) -> dict[str, Any]:
    """Answers have three digits in train and validation and no leading zeros in test, as in the real files."""
    answer = str(problem.answer) if split == "test" else f"{problem.answer:03}"
    return {"id": f"made-{split}-{at:02}", "inputs": {"problem": problem.text}, "expected": answer,
            "metadata": {"kind": problem.kind}}  # fmt: skip


def livebench_cases(rng: random.Random) -> dict[str, list[dict[str, Any]]]:
    seen: set[str] = set()
    forms = []
    for share, make in SHARES:
        rows: Iterator[Row] = distinct(lambda number, make=make: make(rng, number), lambda row: row.question, seen)
        forms.append((share, rows))
    cases = {split: [next(rows) for share, rows in forms for _ in range(share)] for split in SPLITS}
    for split in SPLITS:
        rng.shuffle(cases[split])
        assert len(cases[split]) == LIVEBENCH[split]
    return {split: [_livebench_case(split, at, row) for at, row in enumerate(rows)] for split, rows in cases.items()}


def _livebench_case(split: str, at: int, row: Row) -> dict[str, Any]:
    return {"id": f"made-{split}-{at:02}", "inputs": {"question": row.question}, "expected": row.truth,
            "metadata": {"task": row.task, "subtask": row.subtask}}  # fmt: skip


def main() -> None:
    made = {"aime_2025": aime_cases(random.Random(SEED)), "livebench_math": livebench_cases(random.Random(SEED + 1))}
    for benchmark, splits in made.items():
        for split, cases in splits.items():
            path = HERE.parent / benchmark / "data" / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases), encoding="utf-8")


if __name__ == "__main__":
    main()
