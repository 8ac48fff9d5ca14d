"""What stands beside a mean score: parts, and what was taken of what guards bound."""

from __future__ import annotations

import pytest

from fapo.data import Guards
from fapo.records import CaseRecord, Failure, Prediction, Score, Step, Usage
from fapo.report.beside import Beside, beside, guard_lines


def record(number: int, *documents: str, tokens: int | None = 100, parts: dict[str, float] | None = None) -> CaseRecord:
    usage = Usage(2, 0, tokens, 10, 0.5)
    step = Step("say", "llm", {}, "x", 0.0, 0.1, usage=usage)
    return CaseRecord(f"c{number}", 0, (step,), Prediction("x", documents), Score(1.0, parts or {}), None, 0.1)


def test_parts_are_means_and_documents_are_counted_once() -> None:
    failed = CaseRecord("f", 0, (), None, None, Failure("pipeline", "raised", "oh"), 0.1)
    found = beside([record(1, "a", "a", "b", parts={"f1": 0.5}), record(2, "a", parts={"f1": 1.0, "em": 0.0}), failed])
    assert found.parts == {"f1": 0.75, "em": 0.0}
    assert (found.documents, found.most_documents) == (1.5, 2)
    assert found.calls == pytest.approx(4 / 3)
    assert found.tokens == pytest.approx(220 / 3)
    assert found.cost_usd == pytest.approx(1 / 3)


def test_what_is_unknown_is_not_zero() -> None:
    found = beside([record(1, tokens=None)])
    assert found == Beside({}, None, None, 2.0, None, 0.5)
    assert beside([]) == Beside({}, None, None, None, None, None)


def test_each_guard_says_what_is_allowed_and_what_was_taken() -> None:
    guards = Guards(documents=24, calls=3, cost=2, inputs=("claim",))
    assert list(guard_lines(guards, beside([record(1, "a", "b", tokens=None)]))) == [
        "documents named: 2.0 a case, 2 at most; 24 are allowed",
        "calls: 2.0 a case; one of a variant may take 3 times the baseline's mean",
        "dollars: $0.5000 a case; one of a variant may take 2 times the baseline's mean",
        "inputs that pipeline code sees: claim",
    ]
    assert next(guard_lines(Guards(tokens=4), beside([record(1, tokens=None)]))).startswith("tokens: unknown a case")
    assert list(guard_lines(Guards(), beside([]))) == []
