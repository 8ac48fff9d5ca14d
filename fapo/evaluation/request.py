"""What `fapo eval` was asked for, kept beside what it measured: enough to go on with it and to compare it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fapo.config import EvalConfig
from fapo.errors import UsageError
from fapo.records import Case
from fapo.store.files import read_json, write_atomic

REQUEST_FILE = "request.json"
CASES_FILE = "cases.json"


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """The pipeline's directory when the evaluation began, and how it was to be evaluated."""

    source: Path
    config: EvalConfig


def write_request(directory: Path, request: EvaluationRequest) -> None:
    kept = {"source": str(request.source.resolve()), "config": request.config.model_dump(mode="json")}
    write_atomic(directory / REQUEST_FILE, json.dumps(kept, indent=2) + "\n")


def read_request(directory: Path) -> EvaluationRequest:
    """Raises UsageError where `directory` holds no evaluation that `fapo eval` began."""
    path = directory / REQUEST_FILE
    if not path.is_file():
        raise UsageError(f"not an evaluation that `fapo eval` began: {REQUEST_FILE} is missing", path=directory)
    try:
        kept = read_json(path)
        return EvaluationRequest(Path(kept["source"]), EvalConfig.model_validate(kept["config"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"cannot be read back: {' '.join(str(error).split())}", path=path) from None


def write_cases(directory: Path, cases: Iterable[Case], clusters: Mapping[str, str] | None) -> None:
    """Take down which cases are evaluated, and which of them are not independent of each other."""
    kept = {case.id: None if clusters is None else clusters[case.id] for case in cases}
    write_atomic(directory / CASES_FILE, json.dumps(kept, ensure_ascii=False) + "\n")


def read_cases(directory: Path) -> dict[str, str | None] | None:
    """Case id to cluster, in the order of the cases; None where it was not taken down."""
    path = directory / CASES_FILE
    if not path.is_file():
        return None
    try:
        kept = read_json(path)
    except ValueError as error:
        raise UsageError(f"cannot be read back: {error}", path=path) from None
    if not isinstance(kept, dict):
        raise UsageError("cannot be read back: must be an object", path=path)
    return kept
