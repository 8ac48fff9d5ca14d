"""The step table: what each step did over many cases."""

from __future__ import annotations

from fapo.records import CaseRecord, Prediction, Score, Step, Usage
from fapo.report.step_table import StepRow, nearest_rank, step_rows


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


def test_replies_from_the_cache_say_nothing_about_latency() -> None:
    (row,) = step_rows([case(call(2.0), call(0.0, Usage(0, 1), cached=True), call(0.0, Usage(0, 1), cached=True))])
    assert (row.calls, row.cached, row.p50_s, row.p95_s) == (3, 2, 2.0, 2.0)
    (all_cached,) = step_rows([case(call(0.0, Usage(0, 1), cached=True))])
    assert (all_cached.p50_s, all_cached.p95_s, all_cached.cost_usd) == (None, None, 0.0)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (nearest_rank(values, 0.5), nearest_rank(values, 0.95)) == (50.0, 95.0)
    assert (nearest_rank([4.0], 0.95), nearest_rank([], 0.5)) == (4.0, None)


def test_no_records_make_no_rows() -> None:
    assert step_rows([]) == ()
