"""Whom failing cases are blamed on, worked out a few at a time and kept in the index."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fapo.attribution.habits import SAMPLE, learn_habits
from fapo.attribution.rules import judge_case
from fapo.attribution.view import CaseView, retrieval_names
from fapo.records import Case, CaseRecord
from fapo.ui.trace_index import TraceIndex

_LEARNED_FROM = 300
_BATCH = 100


def blame_some(index: TraceIndex, directory: Path, cases: Mapping[str, Case], seconds: float) -> int:
    """Judge failing cases for about so many seconds; returns how many wait.

    By the rules of `fapo attribute`, which learn from the first solved cases. As long as these become more, as in an
    evaluation that runs, all is judged anew.
    """
    file = index.file_of(directory)
    solved = index.numbers(file, "value >= 1", SAMPLE)
    seen = index.numbers(file, "1", _LEARNED_FROM)
    judged_by = _name(seen, solved, cases)
    if judged_by == index.judged_by(file):
        if not (left := index.waiting(file)):
            return left
    else:
        index.forget_blames(file, judged_by)
    deadline = time.monotonic() + seconds
    retrieval = retrieval_names(index.read(directory, seen).values())
    habits = learn_habits(_view(record, cases, retrieval) for record in index.read(directory, solved).values())
    while waiting := index.numbers(file, "value < 1 AND judged = 0", _BATCH):
        records = index.read(directory, waiting)
        found = {sample: judge_case(_view(record, cases, retrieval), habits) for sample, record in records.items()}
        index.add_blames(file, found)
        if time.monotonic() > deadline:
            break
    return index.waiting(file)


def _view(record: CaseRecord, cases: Mapping[str, Case], retrieval: frozenset[str]) -> CaseView:
    return CaseView(record, cases.get(record.case_id) or Case(record.case_id, {}, None), retrieval)


def _name(seen: Sequence[int], solved: Sequence[int], cases: Mapping[str, Case]) -> str:
    """What the judgement rests on, as one word: other samples or other labels give another."""
    return hashlib.sha256(repr((seen, solved, len(cases))).encode()).hexdigest()[:16]
