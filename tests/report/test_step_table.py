"""The step table: what each step did over many cases."""

from __future__ import annotations

from fapo.records import CaseRecord, Prediction, Score, Step, Usage
from fapo.report.step_table import StepRow, step_rows


def case(*steps: Step) -> CaseRecord:
    return CaseRecord("c", 0, steps, Prediction("x"), Score(1.0), None, 1.0)


def call(seconds: float, usage: Usage | None = None, *, cached: bool = False, error: str | None = None) -> Step:
    paid = usage or Usage(1, 0, 100, 10, 0.25)
    return Step("answer", "llm", {}, "x", 0.0, seconds, usage=paid, cached=cached, error=error)


def function(name: str) -> Step:
    return Step(name, "function", {}, [], 0.0, 0.5)


def test_steps_come_in_order_of_first_appearance() -> None:
    rows = step_rows([case(function("b"), call(1.0)), case(function("a"), function("b"))])
    assert [(row.step, row.kind, row.calls) for row in rows] == [
        ("b", "function", 2),
        ("answer", "llm", 1),
        ("a", "function", 1),
    ]


def test_calls_tokens_cost_and_errors_are_added_up() -> None:
    (row,) = step_rows([case(call(1.0), call(3.0)), case(call(2.0, error="boom"))])
    assert row == StepRow("answer", "llm", 3, 0, 300, 30, 0.75, 2.0, 3.0, 1)


def test_an_unknown_cost_makes_the_sum_unknown() -> None:
    (row,) = step_rows([case(call(1.0), call(1.0, Usage(1, 0, 100, None, None)))])
    assert (row.input_tokens, row.output_tokens, row.cost_usd) == (200, None, None)


def test_replies_from_the_cache_cost_nothing_and_count_for_latency_as_they_were_given() -> None:
    (row,) = step_rows([case(call(2.0), call(1.0, Usage(0, 1), cached=True), call(4.0, Usage(0, 1), cached=True))])
    assert (row.calls, row.cached, row.p50_s, row.p95_s, row.cost_usd) == (3, 2, 2.0, 4.0, 0.25)


def test_no_records_make_no_rows() -> None:
    assert step_rows([]) == ()
