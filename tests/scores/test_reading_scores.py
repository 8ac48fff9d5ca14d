"""Scores that read an answer: each against hand-made truth, edge cases included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fapo.evaluation.scoring import load_score
from fapo.records import Case, Prediction, Score


def scored(name: str, expected: Any, output: Any, *evidence: str) -> Score:
    return load_score(name, Path())(Case("c", {}, expected), Prediction(output, evidence))


@pytest.mark.parametrize(
    ("expected", "output", "value", "f1"),
    [
        ("Paris", "paris", 1, 1),
        ("The Orne", "orne.", 1, 1),
        ("an A-Team", "ATeam", 1, 1),
        ("caf\u00e9", "cafe\u0301", 1, 1),
        ("1,041", "1041", 1, 1),
        (["NYC", "New York City"], "new york city", 1, 1),
        ("Paris", "It is Paris", 0, 0.5),
        ("yes", "yes it is", 0, 0),
        ("no", "No.", 1, 1),
        ("yes", "no", 0, 0),
        ("Paris", "", 0, 0),
        ("Paris", None, 0, 0),
        ("the", "a", 1, 1),
        ("red blue", "blue green red", 0, 0.8),
        ("Paris", {"answer": "Paris"}, 0, 2 / 3),
        ("Paris", "Paris " * 20000, 0, 2 / 20001),
    ],
)
def test_squad_em(expected: Any, output: Any, value: float, f1: float) -> None:
    found = scored("squad_em", expected, output)
    assert found.value == value
    assert found.breakdown["f1"] == pytest.approx(f1)


def test_squad_em_tells_verbosity_from_error() -> None:
    assert "among other words" in scored("squad_em", "Paris", "The answer is Paris.").feedback
    assert scored("squad_em", "Paris", "Comparison").feedback == "this is not the answer"
    assert scored("squad_em", "Paris", "Rome").feedback == "this is not the answer"
    assert scored("squad_em", "Paris", " ").feedback == "the answer is empty"
    assert "Paris" not in scored("squad_em", "Paris", "Rome").feedback


@pytest.mark.parametrize(
    ("titles", "evidence", "value", "recall"),
    [
        (["Orne"], ["Orne"], 1, 1),
        (["Orne"], ["Orne | The Orne is a river."], 1, 1),
        (["The Orne"], ["orne"], 1, 1),
        (["A", "B | x"], ["b"], 0, 0.5),
        (["Orne", "Vell"], ["Vell", "Orne", "Other"], 1, 1),
        (["Orne", "Vell"], ["Vell"], 0, 0.5),
        (["Orne", "Vell", "Tarn"], [], 0, 0),
        (["Orne (river)"], ["Orne"], 0, 0),
        (["Caf\u00e9"], ["Cafe\u0301"], 1, 1),
        (["Orne"], ["Orne", "Orne | again"], 1, 1),
    ],
)
def test_gold_titles(titles: list[str], evidence: list[str], value: float, recall: float) -> None:
    found = scored("gold_titles", {"titles": titles}, "whatever", *evidence)
    assert (found.value, found.breakdown["partial_recall"]) == (value, recall)


def test_gold_titles_counts_documents_once_and_names_none() -> None:
    found = scored("gold_titles", {"titles": ["Orne", "Vell"]}, "", "Orne", "Orne | text", "Tarn")
    assert found.breakdown == {"partial_recall": 0.5, "found": 1.0, "named": 2.0}
    assert found.feedback == "1 of 2 documents that are needed are not among the 2 that were named"


@pytest.mark.parametrize(
    ("expected", "output", "value", "extracted"),
    [
        ("016", "16", 1, 1),
        (16, "016", 1, 1),
        ("16", 16, 1, 1),
        ("16", " 16\n", 1, 1),
        ("16", "16.", 0, 1),
        ("16", "\\boxed{16}", 0, 1),
        ("16", "so \\boxed{12}, no: \\boxed{16} of 20", 0, 1),
        ("16", "The answer is 16", 0, 1),
        ("16", "16 and then 17", 0, 0),
        ("16", "16.5", 0, 0),
        ("1016", "1,016", 0, 1),
        ("16", "", 0, 0),
        ("16", None, 0, 0),
        ("1", True, 0, 0),
        ("-3", "-3", 1, 1),
        ("16", "9" * 100000, 0, 0),
        ({"answer": "016", "extract": True}, "It is 16", 1, 1),
        ({"answer": "016"}, "It is 16", 0, 1),
    ],
)
def test_integer_equality(expected: Any, output: Any, value: float, extracted: float) -> None:
    found = scored("integer_equality", expected, output)
    assert (found.value, found.breakdown["extracted"]) == (value, extracted)
    assert bool(found.feedback) == (value == 0)
    assert "16" not in found.feedback


@pytest.mark.parametrize(
    ("output", "value", "improper"),
    [
        ("CWE-79", 1, 0),
        ("cwe-79", 1, 0),
        ("CWE\u201179 it is", 1, 0),
        ("CWE-79, yes CWE-79", 1, 0),
        ("CWE-79 or CWE-80", 0, 0),
        ("CWE-80", 0, 0),
        ("CWE: 79", 1, 1),
        ("ID: 79", 1, 1),
        ("ID: 79, CWE: 80", 0, 1),
        ("CWE 79", 0, 0),
        ("79", 0, 0),
        ("", 0, 0),
        (None, 0, 0),
        ("CWE-790", 0, 0),
    ],
)
def test_cwe_faith(output: Any, value: float, improper: float) -> None:
    for expected in ("CWE-79", {"cwe": "CWE-79"}):
        found = scored("cwe_faith", expected, output)
        assert (found.value, found.breakdown["improper"]) == (value, improper)
        assert bool(found.feedback) == (value == 0)
