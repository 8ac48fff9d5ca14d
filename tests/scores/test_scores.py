"""The built-in scores against hand-made truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
        ("CWE-79 or perhaps CWE-80", 0.0, "names CWE-79, which is right, but the last id counts, and that is CWE-80"),
        ("CWE-80", 0.0, "answers CWE-80; expected CWE-79"),
        ("CWE-790", 0.0, "answers CWE-790; expected CWE-79"),
        ("Cross-site scripting", 0.0, "the answer names no CWE id"),
        ("", 0.0, "the answer names no CWE id"),
        (None, 0.0, "the answer names no CWE id"),
        ({"cwe": "CWE-79"}, 1.0, ""),
    ],
)
def test_cwe_match_reads_the_last_id(output: Any, value: float, feedback: str) -> None:
    found = judge("cwe_match", {"cwe": "CWE-79"}, output)
    assert (found.value, found.feedback) == (value, feedback)


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
    ],
)
def test_exact_match_ignores_case_punctuation_articles_and_space(expected: Any, output: Any, value: float) -> None:
    assert judge("exact_match", expected, output).value == value


def test_exact_match_says_when_the_answer_stands_among_other_words() -> None:
    assert "contains 'Paris', which is right" in judge("exact_match", "Paris", "It is Paris.").feedback
    assert "contains" not in judge("exact_match", "no", "I do not know").feedback


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
    ],
)
def test_json_fields_counts_equal_fields(output: Any, value: float, feedback: str) -> None:
    found = judge("json_fields", {"name": "Ann Lee", "count": 3}, output)
    assert (found.value, found.feedback) == (value, feedback)


def test_json_fields_shows_each_field() -> None:
    assert judge("json_fields", {"name": "x", "count": 3}, {"name": "x"}).breakdown == {"name": 1.0, "count": 0.0}
