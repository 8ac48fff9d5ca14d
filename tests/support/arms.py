"""Writes evaluations to disk as `fapo eval` leaves them, without running anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fapo.evaluation.evaluate import MANIFEST_FILE, TRACES_FILE, Manifest
from fapo.records import CaseRecord, Failure, Score, Step, Usage
from fapo.store.files import to_json

PAID = Usage(1, 0, 100, 20, 0.01)
CACHED = Usage(0, 1, 0, 0, 0.0)
UNDECIDED = Failure("provider", "unavailable", "it is down")
FAILED = Failure("pipeline", "raised", "ValueError: no")

Outcome = float | Failure


def record_of(case: str, outcome: Outcome, trial: int = 0, *, usage: Usage = PAID, seconds: float = 1.0) -> CaseRecord:
    step = Step("answer", "llm", {}, "x", 0.0, seconds, model="m", usage=usage, cached=usage.cached_calls > 0)
    if isinstance(outcome, Failure):
        return CaseRecord(case, trial, (step,), None, None, outcome, seconds)
    return CaseRecord(case, trial, (step,), None, Score(outcome), None, seconds)


def write_arm(
    directory: Path, outcomes: Mapping[str, Sequence[Outcome]], *, usage: Usage = PAID, seconds: float = 1.0,
    clusters: Mapping[str, str] | None = None, cases: Sequence[str] | None = None, **changes: Any,
) -> Path:  # fmt: skip
    """An evaluation whose cases ended as `outcomes` says, one outcome for each trial that was run.

    `cases` are those that it should have, if they are more; `changes` replace parts of its manifest.
    """
    directory.mkdir(parents=True)
    trials = max(len(each) for each in outcomes.values())
    values: dict[str, Any] = {"pipeline": "p", "variant": "p", "variant_digest": "v", "split": "validation"}
    values |= {"cases_digest": "c", "score": "exact_match", "score_digest": "s", "trials": trials}
    values |= {"models": {"task": "openai/m"}} | changes
    (directory / MANIFEST_FILE).write_bytes(to_json(Manifest(**values)))
    lines = [
        to_json(record_of(case, outcome, trial, usage=usage, seconds=seconds)) + b"\n"
        for case, each in outcomes.items()
        for trial, outcome in enumerate(each)
    ]
    (directory / TRACES_FILE).write_bytes(b"".join(lines))
    named = {case: None if clusters is None else clusters[case] for case in cases or outcomes}
    (directory / "cases.json").write_text(json.dumps(named))
    return directory


def scored(values: str) -> dict[str, list[Outcome]]:
    """One trial of each case: 1 and 0 are scores, f is a failure of the pipeline, ? of the provider."""
    meaning: dict[str, Outcome] = {"1": 1.0, "0": 0.0, "f": FAILED, "?": UNDECIDED}
    return {f"case-{number}": [meaning[letter]] for number, letter in enumerate(values)}
