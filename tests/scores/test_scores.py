"""The built-in scores against hand-made truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fapo.errors import ScorerError
from fapo.evaluation.scoring import ScoreFunction, load_score
from fapo.records import Case, Prediction, Score


def judge(name: str, expected: Any, output: Any) -> Score:
    function: ScoreFunction = load_score(name, Path())
    return function(Case("c", {"q": "x"}, expected), Prediction(output))


@pytest.mark.parametrize(
    ("output", "value", "feedback"),
    [
        ("CWE-79", 1.0, ""),
        ("cwe-79", 1.0, ""),
        ("The weakness is CWE-79.", 1.0, ""),
        ("CWE-20, more exactly CWE-79", 1.0, ""),
        ("CWE\u201179", 1.0, ""),
        ("CWE–79", 1.0, ""),
        ("CWE-79 or perhaps CWE-80", 0.0, "the right id is named, but the last one counts, and that is CWE-80"),
        ("CWE-80", 0.0, "answers CWE-80, which is not the label"),
        ("CWE-790", 0.0, "answers CWE-790, which is not the label"),
        ("Cross-site scripting", 0.0, "the answer names no CWE id"),
        ("", 0.0, "the answer names no CWE id"),
        (None, 0.0, "the answer names no CWE id"),
        ({"cwe": "CWE-79"}, 1.0, ""),
        ("CWE\u221279", 1.0, ""),
        ("CWE-079", 0.0, "answers CWE-079, which is not the label"),
        ("CWE-\uff17\uff19", 0.0, "the answer names no CWE id"),
    ],
)
def test_cwe_match_reads_the_last_id(output: Any, value: float, feedback: str) -> None:
    found = judge("cwe_match", {"cwe": "CWE-79"}, output)
    assert (found.value, found.feedback) == (value, feedback)


def test_cwe_match_takes_a_label_that_is_a_plain_text() -> None:
    assert judge("cwe_match", "cwe-79", "CWE-79").value == 1.0


@pytest.mark.parametrize(
    ("expected", "output", "value"),
    [
        ("Paris", "paris", 1.0),
        ("Paris", " The Paris! ", 1.0),
        ("the United States", "United States", 1.0),
        ("U.S.", "US", 1.0),
        ("naïve", "NAÏVE", 1.0),
        (["Paris", "City of Light"], "city of light", 1.0),
        ({"answer": "Paris"}, "Paris", 1.0),
        ({"answer": ["a b", "c"]}, "c", 1.0),
        ("Paris", "Paris, France", 0.0),
        ("Paris", "London", 0.0),
        ("Paris", "", 0.0),
        ("anthem", "them", 0.0),
        (16, "16", 1.0),
        ({"answer": "Paris", "titles": ["Paris", "Seine"]}, "paris", 1.0),
        ({"answer": "Paris", "titles": ["Paris", "Seine"]}, "Seine", 0.0),
        ("A", "a.", 1.0),
        ("A", "", 0.0),
        ("A", "the", 0.0),
        ("A", "B", 0.0),
        ("?", "!", 0.0),
        ("None", None, 0.0),
    ],
)
def test_exact_match_ignores_case_punctuation_articles_and_space(expected: Any, output: Any, value: float) -> None:
    assert judge("exact_match", expected, output).value == value


def test_exact_match_says_when_the_answer_stands_among_other_words() -> None:
    assert "contains 'Paris', which is right" in judge("exact_match", "Paris", "It is Paris.").feedback
    assert "contains" not in judge("exact_match", "no", "I do not know").feedback


def test_exact_match_refuses_a_label_of_several_entries_without_an_answer() -> None:
    with pytest.raises(ScorerError, match="none is named `answer`"):
        judge("exact_match", {"team": "a", "city": "b"}, "a")


@pytest.mark.parametrize(
    ("output", "value", "feedback"),
    [
        ({"name": "Ann Lee", "count": 3}, 1.0, ""),
        ({"name": "ann  lee", "count": "3"}, 1.0, ""),
        ({"name": "Ann Lee", "count": 3.0, "more": 1}, 1.0, ""),
        ('{"name": "Ann Lee", "count": "3"}', 1.0, ""),
        ({"name": "Ann Lee"}, 0.5, "count is missing"),
        ({"name": "Ann Lee", "count": None}, 0.5, "count is missing"),
        ({"name": "Ann", "count": 3}, 0.5, "name is 'Ann'; expected 'Ann Lee'"),
        ({"name": "Ann", "count": 4}, 0.0, "name is 'Ann'; expected 'Ann Lee'; count is 4; expected 3"),
        ({}, 0.0, "name is missing; count is missing"),
        ("Sure: Ann Lee, 3", 0.0, "the output is not a JSON object"),
        (["Ann Lee", 3], 0.0, "the output is not a JSON object"),
        (None, 0.0, "the output is not a JSON object"),
        ("[" * 100_000, 0.0, "the output is not a JSON object"),
        (
            {"name": ["Ann Lee"], "count": {"n": 3}},
            0.0,
            "name is ['Ann Lee']; expected 'Ann Lee'; count is {'n': 3}; expected 3",
        ),
    ],
)
def test_json_fields_counts_equal_fields(output: Any, value: float, feedback: str) -> None:
    found = judge("json_fields", {"name": "Ann Lee", "count": 3}, output)
    assert (found.value, found.feedback) == (value, feedback)


def test_json_fields_shows_each_field() -> None:
    assert judge("json_fields", {"name": "x", "count": 3}, {"name": "x"}).breakdown == {"name": 1.0, "count": 0.0}


def test_json_fields_shows_each_field_of_an_output_that_is_no_object() -> None:
    assert judge("json_fields", {"name": "x", "count": 3}, "Sure!").breakdown == {"name": 0.0, "count": 0.0}


@pytest.mark.parametrize(
    ("gold", "given", "value"),
    [
        (1041.5, "1,041.50", 1.0),
        ("-3", -3.0, 1.0),
        (0, "0.0", 1.0),
        ("016", "16", 0.0),
        ("1e3", "1000", 0.0),
        ("1_0", "10", 0.0),
        ("1,04", "104", 0.0),
        ("nan", "NaN", 1.0),
        ("infinity", "inf", 0.0),
        (12345678901234567890, 12345678901234567891, 0.0),
        (True, "true", 1.0),
        (True, 1, 0.0),
        (None, None, 1.0),
        (None, "none", 0.0),
        ("", None, 0.0),
        ([1, "B"], ["1", "b"], 1.0),
        ([1, 2], [2, 1], 0.0),
        ([1], 1, 0.0),
        ({"a": [1]}, {"a": ["1.0"]}, 1.0),
        ({"a": 1}, {"a": 1, "b": 2}, 0.0),
    ],
)
def test_json_fields_compares_values_not_spellings(gold: Any, given: Any, value: float) -> None:
    assert judge("json_fields", {"field": gold}, {"field": given}).value == value


def test_json_fields_reads_a_label_that_is_json_text() -> None:
    assert judge("json_fields", '{"a": 1, "b": 2}', {"a": 1}).value == 0.5


def test_json_fields_refuses_a_label_without_fields() -> None:
    with pytest.raises(ScorerError, match="must be a mapping of field to value"):
        judge("json_fields", "Ann", {"name": "Ann"})


def test_feedback_of_a_very_deep_or_long_value_is_short() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    for value in (deep, "x" * 100_000):
        found = judge("json_fields", {"a": "b"}, {"a": value})
        assert found.value == 0.0
        assert len(found.feedback) < 200
