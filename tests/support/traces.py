"""Evaluations on disk, made up without a model: for what reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fapo.evaluation.evaluate import MANIFEST_FILE, TRACES_FILE, Manifest
from fapo.evaluation.request import write_cases
from fapo.records import Case, CaseRecord, Failure, Prediction, Score, Split, Step, Usage
from fapo.store.files import to_json, write_atomic

MANIFEST = Manifest("made_up", "made_up", "0", "validation", "cases", "exact_match", "score", 1, {"task": "made/up"})


def record(
    case: str, value: float | None = 1.0, *, output: Any = "answer", trial: int = 0, **changed: Any
) -> CaseRecord:
    """One case with a model step and a parser; `value` None is undecided, since a provider failed."""
    messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": f"question of {case}"}]
    steps = (
        Step("ask", "llm", {"variables": {"question": f"question of {case}"}, "messages": messages}, output, 0.0, 0.5,
             "made/up", Usage(1, 0, 100, 10, 0.001), "stop"),
        Step("parse", "function", {"args": [output], "kwargs": {}}, output, 0.5, 0.01),
    )  # fmt: skip
    failed = Failure("provider", "unavailable", "no answer") if value is None else None
    score = None if value is None else Score(value, {}, "" if value == 1 else "not what was expected")
    made = CaseRecord(case, trial, steps, None if failed else Prediction(output), score, failed, 0.6)
    return replace(made, **changed)


def write_evaluation(
    directory: Path, records: Iterable[CaseRecord], *, split: Split = "validation", variant: str = "made_up"
) -> Path:
    """An evaluation directory that holds these records."""
    records = tuple(records)
    write_atomic(directory / MANIFEST_FILE, to_json(replace(MANIFEST, split=split, variant=variant)))
    write_cases(directory, (Case(case, {}, None) for case in dict.fromkeys(r.case_id for r in records)), None)
    append(directory, records)
    return directory


def append(directory: Path, records: Iterable[CaseRecord], *, torn: bytes = b"") -> None:
    """Write further records as an evaluation does, and after them what a kill leaves of one."""
    with (directory / TRACES_FILE).open("ab") as file:
        file.write(b"".join(to_json(each) + b"\n" for each in records) + torn)
