"""Texts are compared as token sequences, so that a value is found where it stands and nowhere else."""

from __future__ import annotations

import pytest

from fapo.attribution.text import document_titles, gold_value, is_empty, is_traceable, normalise


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello,  WORLD!", "hello world"),
        ("don’t e.g. U.S.", "don t e g u s"),
        ("1,000.00 and 12.50", "1000 and 12.50"),
        ("1,2,3", "1 2 3"),
        ("-3 to 2010-2015, CWE-79", "-3 to 2010 2015 cwe 79"),
        ("x = \u22124", "x -4"),
        ("STRASSE straße ﬁn", "strasse strasse fin"),
        ("東京は", "東 京 は"),
        ("snake_case|and\x01control", "snake case and control"),
    ],
)
def test_a_text_is_its_lower_case_tokens(text: str, tokens: str) -> None:
    assert normalise(text) == f" {tokens} "


@pytest.mark.parametrize("text", ["", "  ", "—", "...", "\x00"])
def test_a_text_without_tokens_is_empty(text: str) -> None:
    assert normalise(text) == ""


def test_a_leading_article_is_no_part_of_a_value() -> None:
    assert gold_value("The Beatles") == " beatles "
    assert gold_value("The Who") == " the who "


@pytest.mark.parametrize("value", ["yes", "No.", "true", "7", "B", "", "not supported", "word " * 13])
def test_common_short_and_long_values_are_not_traceable(value: str) -> None:
    assert not is_traceable(gold_value(value))


@pytest.mark.parametrize("value", ["12", "Oslo", "CWE-79", "No Country for Old Men", "東京"])
def test_names_and_numbers_are_traceable(value: str) -> None:
    assert is_traceable(gold_value(value))


@pytest.mark.parametrize("value", [None, "", " \n", [], {}, [None, ["", {}]]])
def test_nothing_is_empty(value: object) -> None:
    assert is_empty(value)


@pytest.mark.parametrize("value", [0, False, "x", [0], {"key": None}])
def test_something_is_not_empty(value: object) -> None:
    assert not is_empty(value)


@pytest.mark.parametrize("text", ["Jan Holm | born in Oslo", "Jan Holm\nborn in Oslo", "[2] Jan Holm | born"])
def test_a_marked_title_is_the_whole_title(text: str) -> None:
    assert (" jan holm ", False) in set(document_titles([text]))


def test_text_may_follow_an_unmarked_title_of_a_long_text() -> None:
    text = "Jan Holm was born in Oslo and lived there until he moved to Bergen"
    assert set(document_titles(text)) == {(normalise(text), True)}
    assert set(document_titles("Jan Holm Park")) == {(" jan holm park ", False)}
