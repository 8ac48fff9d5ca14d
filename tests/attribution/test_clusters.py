"""Failing cases that are alike come together, with a few that stand for them."""

from __future__ import annotations

from fapo.attribution.blame import Cluster
from fapo.attribution.clusters import MOST_CLUSTERS, REPRESENTATIVES, representatives
from fapo.attribution.rules import attribute
from fapo.records import Case, CaseRecord, Prediction, Score, Step


def clusters(*cases: tuple[str, str, str]) -> tuple[Cluster, ...]:
    """Of one-step cases, each of a question, an expected label and a reply."""
    records, known = [], {}
    for number, (question, expected, reply) in enumerate(cases):
        teams = ", ".join(sorted({team for _, team, _ in cases}))
        messages = [{"role": "user", "content": f"{question} Teams: {teams}."}]
        step = Step("route", "llm", {"messages": messages}, reply, 0.0, 0.1, finish_reason="stop")
        right = expected == reply
        records.append(CaseRecord(f"c{number}", 0, (step,), Prediction(reply), Score(float(right)), None, 1.0))
        known[f"c{number}"] = Case(f"c{number}", {"question": question}, {"team": expected})
    return attribute(known, records).clusters


def test_a_confusion_that_several_cases_share_is_a_cluster_of_its_own() -> None:
    found = clusters(
        ("Invoice twice", "billing desk", "field crew"),
        ("Invoice wrong", "billing desk", "field crew"),
        ("Invoice late", "billing desk", "field crew"),
        ("Lamp broken", "field crew", "night shift"),
        ("Who is there", "night shift", "billing desk"),
        ("Lamp flickers", "field crew", "field crew"),
    )
    assert [(c.step, c.category, c.cases, round(c.share, 2)) for c in found] == [
        ("route", "reasoning", 3, 0.6), ("route", "reasoning", 2, 0.4),
    ]  # fmt: skip
    assert found[0].what == "billing desk → field crew"
    assert set(found[0].representatives) == {"c0", "c1", "c2"}
    assert found[1].what == "`route` was shown “…” and answered otherwise"


def test_the_typical_case_comes_first_and_then_those_least_like_it() -> None:
    words = {
        "typical": frozenset("a b c d".split()),
        "near": frozenset("a b c e".split()),
        "near too": frozenset("a b d f".split()),
        "far": frozenset("x y z".split()),
    }
    chosen = representatives(list(words), words)
    assert len(chosen) == REPRESENTATIVES
    assert chosen[:2] == ("typical", "far")


def test_the_list_is_bounded_and_the_largest_come_first() -> None:
    teams = [f"team number {letter}{letter}" for letter in "abcdefghijklmnopq"]
    cases = [("q", expected, "billing desk") for expected in teams for _ in range(2)] + [("q", teams[3], "night shift")]
    found = clusters(*cases)
    assert len(found) == MOST_CLUSTERS
    assert [c.share for c in found] == sorted((c.share for c in found), reverse=True)


def test_where_nothing_failed_there_are_none() -> None:
    assert clusters(("Invoice", "billing desk", "billing desk")) == ()
