"""The verdict: for a gain, a tie or no loss; against small gains and dear ones; raced by whole clusters."""

from __future__ import annotations

from typing import Any

import pytest

from fapo.config import OptimizeConfig
from fapo.optimize.judge import Arm, Question, change_words, judge, novelty, race_order, settled
from fapo.records import Usage

N = 200


def question(*, tolerated: float = 0.0, clusters: dict[str, str] | None = None, **config: Any) -> Question:
    return Question("001", 0.02, tolerated, OptimizeConfig.model_validate(config), clusters, N)


def arm(right: range | set[int], *, cost: float | None = 1.0, size: int = 100, cases: int = N) -> Arm:
    values = {f"c{number}": float(number in right) for number in range(cases)}
    return Arm(values, Usage(cases, 0, 1000, 1000, cost), size)


INCUMBENT = arm(range(100))
BETTER = range(140)
WORSE = range(60)


def test_a_clear_gain_is_accepted_and_the_agent_learns_neither_counts_nor_p() -> None:
    verdict = judge(question(), arm(BETTER), INCUMBENT)
    assert (verdict.verdict, verdict.by) == ("accepted", "gain")
    assert "40 cases better" in verdict.reason
    assert "p = " in verdict.reason
    assert verdict.told == "about +20 points: better than chance explains"


def test_a_gain_that_chance_explains_is_rejected() -> None:
    verdict = judge(question(), arm({*range(98), 150, 151, 152, 153}), INCUMBENT)
    assert verdict.verdict == "rejected"
    assert "chance" in verdict.told


def test_the_papers_rule_takes_any_higher_mean() -> None:
    candidate = arm({*range(100), 150})
    by_mean = Question("001", 0.5 / 0.98, 0.0, OptimizeConfig(accept="mean"), None, N)
    assert judge(by_mean, candidate, INCUMBENT).verdict == "accepted"
    assert judge(by_mean, INCUMBENT, INCUMBENT).verdict == "rejected"


def test_a_gain_below_the_least_is_rejected() -> None:
    assert judge(question(min_gain=0.1), arm(range(120)), INCUMBENT).verdict == "accepted"
    verdict = judge(question(min_gain=0.1), arm(range(116)), INCUMBENT)
    assert (verdict.verdict, "less than the least gain" in verdict.told) == ("rejected", True)


@pytest.mark.parametrize(("cost", "expected"), [(1.4, "accepted"), (1.6, "rejected"), (None, "accepted")])
def test_a_dear_gain_must_be_worth_it(cost: float | None, expected: str) -> None:
    asked = question(max_cost_growth=0.5, worth=0.3)
    assert judge(asked, arm(BETTER, cost=cost), INCUMBENT).verdict == expected


def test_a_gain_that_is_worth_it_may_cost_anything() -> None:
    assert judge(question(max_cost_growth=0.5, worth=0.1), arm(BETTER, cost=9.0), INCUMBENT).verdict == "accepted"


def test_a_tie_goes_to_the_simpler_variant() -> None:
    assert judge(question(), arm(range(100), size=90), INCUMBENT).by == "tie"
    assert judge(question(), arm(range(100), size=110), INCUMBENT).verdict == "rejected"
    assert judge(question(), arm(range(100), size=90, cost=2.0), INCUMBENT).verdict == "rejected"


def test_what_simpler_variants_may_lose_is_bounded_in_all() -> None:
    slightly_worse = arm({*range(99), 150}, size=50)
    assert judge(question(), slightly_worse, INCUMBENT).verdict == "rejected"
    verdict = judge(question(tolerance=0.08), slightly_worse, INCUMBENT)
    assert verdict.by == "no_worse"
    assert verdict.margin == pytest.approx(0.04)
    later = judge(question(tolerance=0.08, tolerated=0.04), slightly_worse, INCUMBENT)
    assert later.by is None or later.margin == pytest.approx(0.02)
    assert judge(question(tolerance=0.08, tolerated=0.08), slightly_worse, INCUMBENT).verdict == "rejected"
    assert judge(question(tolerance=0.08), arm(WORSE, size=50), INCUMBENT).verdict == "rejected"


def test_a_race_ends_when_it_is_decided_both_ways() -> None:
    first = range(80)
    incumbent = Arm({f"c{n}": 0.0 for n in first}, Usage(), 100)
    ahead = Arm({f"c{n}": float(n < 60) for n in first}, Usage(), 100)
    level = Arm({f"c{n}": float(n < 4) for n in first}, Usage(), 100)
    assert settled(question(), ahead, incumbent) == "accept"
    assert settled(question(), incumbent, ahead) == "reject"
    assert settled(question(), level, incumbent) is None


def test_blocks_are_drawn_anew_and_keep_clusters_whole() -> None:
    cases = [f"c{number}" for number in range(N)]
    clusters = {case: str(number // 4) for number, case in enumerate(cases)}
    order = race_order(cases, clusters, seed="a")
    assert sorted(case for block in order for case in block) == sorted(cases)
    assert all(len({clusters[case] for case in block}) * 4 == len(block) for block in order)
    assert order == race_order(reversed(cases), clusters, seed="a")
    assert order != race_order(cases, clusters, seed="b")


def test_clusters_are_the_units_of_the_race() -> None:
    clusters = {f"c{number}": str(number // 50) for number in range(N)}
    few = arm(BETTER, cases=100)
    assert settled(question(clusters=clusters), few, arm(range(0), cases=100)) is None


def test_a_change_is_as_new_as_its_words() -> None:
    base = {"prompts/a.md": b"Answer the question."}
    one = change_words(base, {"prompts/a.md": b"Answer the question. You are an expert."})
    same = change_words(base, {"prompts/a.md": b"You are an expert. Answer the question."})
    other = change_words(base, {"prompts/a.md": b"Answer the question. Weigh all evidence before that."})
    assert novelty(one, []) == 1
    assert novelty(same, [one]) < 0.2 < novelty(other, [one])
