"""Cases from an MLflow evaluation data set that was saved as JSON: `EvaluationDataset.to_json()`, or a line each of
`to_df().to_json(orient="records", lines=True)`.

A record's `inputs` are the inputs, its `expectations` what is expected, its tags and source metadata.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fapo.errors import UsageError
from fapo.records import Case


def cases_of_mlflow(path: Path, expected: str | None = None) -> tuple[Case, ...]:
    """The records of a file as cases. `expected` names the only expectation that is the answer.

    Raises UsageError, with the number of the record.
    """
    return tuple(_case(record, expected, number, path) for number, record in enumerate(_records(path), 1))


def _records(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path=path) from None
    try:
        content = json.loads(text)
    except ValueError:
        try:
            content = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise UsageError(f"is neither JSON nor JSON lines: {error}", path=path) from None
    if isinstance(content, dict):
        content = content.get("records", [content])
    if isinstance(content, str):
        content = json.loads(content)
    if not isinstance(content, list) or not content:
        raise UsageError("has no records", path=path)
    return content


def _case(record: Any, expected: str | None, number: int, path: Path) -> Case:
    if not isinstance(record, dict) or not isinstance(record.get("inputs"), dict) or not record["inputs"]:
        raise UsageError(f"record {number} has no `inputs`", path=path)
    expectations = record.get("expectations")
    if not isinstance(expectations, dict) or not expectations:
        raise UsageError(f"record {number} has no `expectations`", path=path)
    if expected is not None and expected not in expectations:
        raise UsageError(f"record {number} has no expectation `{expected}`", path=path)
    only = next(iter(expectations)) if len(expectations) == 1 else None
    name = expected or ("expected_response" if only == "expected_response" else None)
    answer = {"answer": expectations[name]} if name is not None else expectations
    metadata: dict[str, Any] = {"tags": tags} if (tags := record.get("tags")) else {}
    if name is not None and len(expectations) > 1:
        metadata["expectations"] = {key: value for key, value in expectations.items() if key != name}
    case_id = record.get("dataset_record_id") or f"record-{number:04}"
    return Case(str(case_id), record["inputs"], answer, metadata)
