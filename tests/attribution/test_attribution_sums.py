"""Attribution as a whole: it adds up, recommends a level by its numbers, and never breaks on what a trace may hold."""

from __future__ import annotations

from typing import Any

import pytest

from fapo.attribution.blame import Blame, Share
from fapo.attribution.rules import attribute
from fapo.attribution.summary import recommend, summarise
from fapo.records import Case, CaseRecord, Failure, Level, Prediction, Score, Step


def llm(name: str, prompt: Any, reply: Any, finish: str = "stop") -> Step:
    messages = [{"role": "user", "content": prompt}]
    return Step(name, "llm", {"variables": {}, "messages": messages}, reply, 0.0, 0.1, finish_reason=finish)


def record(id: str, *steps: Step, answer: Any = None, value: float = 0.0) -> CaseRecord:
    return CaseRecord(id, 0, steps, Prediction(answer), Score(value), None, 1.0)


def undecided(id: str) -> CaseRecord:
    return CaseRecord(id, 0, (), None, None, Failure("provider", "unavailable", "503"), 1.0)


def mixed() -> tuple[dict[str, Case], list[CaseRecord]]:
    records = [
        record("right", llm("answer", "Rome or Oslo", "Rome"), answer="Rome", value=1.0),
        record("chose", llm("answer", "Rome or Oslo", "Oslo"), answer="Oslo", value=0.25),
        record("cut", llm("answer", "Rome or Oslo", "Well", "length"), answer="Well"),
        record("prose", llm("answer", "Rome or Oslo", "Oslo"), answer="Oslo"),
        undecided("later"),
    ]
    cases = {one.case_id: Case(one.case_id, {"q": "Rome or Oslo"}, "Rome") for one in records}
    cases["prose"] = Case("prose", {}, "words " * 30)
    return cases, records


def test_undecided_cases_are_left_out_and_counted() -> None:
    result = attribute(*mixed())
    assert (result.n, result.undecided) == (4, 1)
    assert {blame.case_id for blame in result.blames} == {"chose", "cut", "prose"}


def test_the_lost_score_is_divided_without_remainder() -> None:
    result = attribute(*mixed())
    assert result.mean == pytest.approx(1.25 / 4)
    assert result.lost == pytest.approx(2.75 / 4)
    assert sum(row.share for row in result.by_step) == pytest.approx(1.0)
    assert sum(result.by_level.values()) == pytest.approx(1.0)
    assert result.by_level["prompt"] == pytest.approx(0.75 / 2.75)
    assert result.by_level["parameter"] == pytest.approx(1 / 2.75)
    assert result.by_level["unidentified"] == pytest.approx(1 / 2.75)


def test_each_level_has_a_ceiling_of_all_that_it_can_address() -> None:
    found = attribute(*mixed())
    assert found.mean == 0.3125
    # "chose" is the prompt's alone, "cut" a parameter's or the prompt's, "prose" unidentified: nobody's to win.
    assert found.ceilings == {"prompt": 0.3125 + 1.75 / 4, "parameter": 0.3125 + 1 / 4, "structure": 0.3125}


def test_steps_are_sorted_by_share() -> None:
    shares = [row.share for row in attribute(*mixed()).by_step]
    assert shares == sorted(shares, reverse=True)


def test_a_case_at_the_pass_mark_does_not_fail() -> None:
    cases, records = mixed()
    assert "chose" not in {blame.case_id for blame in attribute(cases, records, pass_mark=0.25).blames}


def test_nothing_lost_gives_no_shares() -> None:
    result = attribute({}, [record("a", answer="x", value=1.0)])
    assert (result.lost, result.by_step, set(result.by_level.values())) == (0.0, (), {0.0})
    assert result.why == "nothing was lost"


def test_no_decided_case_has_no_mean() -> None:
    result = attribute({}, [undecided("a")])
    assert (result.n, result.mean, result.lost) == (0, None, 0.0)


def test_attribution_is_the_same_whatever_the_order_of_the_records() -> None:
    cases, records = mixed()
    assert attribute(cases, records).by_step == attribute(cases, records[::-1]).by_step


def shares(prompt: float, parameter: float, structure: float) -> dict[Share, float]:
    rest = 1 - prompt - parameter - structure
    return {"prompt": prompt, "parameter": parameter, "structure": structure, "unidentified": rest}


@pytest.mark.parametrize(
    ("by_level", "level"),
    [
        (shares(0.6, 0.1, 0.3), "prompt"),
        (shares(0.1, 0.1, 0.3), "prompt"),
        (shares(0.5, 0.0, 0.5), "prompt"),
        (shares(0.4, 0.2, 0.4), "parameter"),
        (shares(0.1, 0.6, 0.1), "parameter"),
        (shares(0.2, 0.1, 0.7), "structure"),
    ],
)
def test_the_smallest_level_is_recommended_that_leaves_no_larger_part_outside(
    by_level: dict[Share, float], level: Level
) -> None:
    found, why = recommend(by_level, n=20, lost=8.0)
    assert found == level
    assert "8.0 points" in why
    assert f"{by_level['structure']:.0%} structure" in why


def test_blames_of_one_step_and_category_make_one_row_with_the_confidence_of_most_of_its_loss() -> None:
    blames = [
        Blame("a", "s", "reasoning", ("prompt",), "low", "weak", 0.2),
        Blame("b", "s", "reasoning", ("prompt",), "high", "strong", 0.9),
        Blame("b", "s", "reasoning", ("prompt",), "high", "again", 0.1),
    ]
    (row,) = summarise(blames, n=4, undecided=0, mean=0.7).by_step
    assert (row.cases, row.confidence, row.evidence, row.examples) == (2, "high", "strong", ("b", "a"))


DEEP: Any = "end"
for _ in range(2000):
    DEEP = [DEEP]


@pytest.mark.parametrize("expected", [None, "", 0, 3.5, True, [], {}, {"a": None}, [[1, ["x"]]], {"a": {"b": [1]}}])
@pytest.mark.parametrize("output", [None, "", 0, [], {}, [None], [[["x y z w"]]], {"a": [1]}, "{broken", "\ud800"])
def test_any_values_are_judged_without_an_error(expected: Any, output: Any) -> None:
    steps = (
        Step("search", "function", {"args": [output], "kwargs": {"k": None}}, output, 0.0, 0.1),
        Step("odd", "function", output, output, 0.0, 0.1),
        Step("reply", "llm", {"messages": output}, output, 0.0, 0.1),
        llm("answer", output, output),
    )
    result = attribute(
        {"c": Case("c", {"q": output}, expected, {"evidence": output})}, [record("c", *steps, answer=output)]
    )
    assert sum(blame.loss for blame in result.blames) == pytest.approx(1.0)


def test_a_value_nested_thousands_deep_is_judged_without_an_error() -> None:
    found = record("c", llm("answer", DEEP, DEEP), answer=DEEP)
    (blame,) = attribute({"c": Case("c", {}, DEEP)}, [found]).blames
    assert blame.loss == 1.0


def test_an_answer_in_a_huge_text_is_found() -> None:
    text = f"{'lorem ipsum ' * 200_000} Rome Statute {'dolor sit ' * 200_000}"
    found = record("c", llm("answer", text, "Oslo"), answer="Oslo")
    (blame,) = attribute({"c": Case("c", {}, "Rome Statute")}, [found]).blames
    assert blame.category == "reasoning"


def test_a_record_without_steps_or_case_is_unidentified() -> None:
    (blame,) = attribute({}, [record("c", answer="x")]).blames
    assert (blame.step, blame.category) == (None, "unidentified")


def test_a_trace_that_was_cut_makes_a_miss_doubtful() -> None:
    text = f"{'word ' * 100}… (250,000 characters)"
    steps = (
        Step("search", "function", {"args": ["q"], "kwargs": {}}, text, 0.0, 0.1),
        llm("answer", "something", "Oslo"),
    )
    (blame,) = attribute({"c": Case("c", {}, "Rome Statute")}, [record("c", *steps, answer="Oslo")]).blames
    assert (blame.category, blame.confidence) == ("retrieval_miss", "low")
