"""Rules of acceptance and the race: what they spend, and what stopping early costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.acceptance import SUMMARY, World, simulate, summary, worlds
from fapo.acceptance import Seen, blocks, final_level, make_rule, next_level, standing
from fapo.config import Acceptance


@pytest.mark.parametrize("accept", ["strict", "investing"])
def test_without_acceptances_all_looks_together_spend_alpha(accept: Acceptance) -> None:
    levels = [next_level(accept, 0.05, 12, [False] * look) for look in range(12)]
    assert sum(levels) == pytest.approx(0.05)


@pytest.mark.parametrize("accept", ["strict", "investing", "mean"])
def test_a_look_beyond_the_plan_is_refused(accept: Acceptance) -> None:
    with pytest.raises(ValueError, match="look 13 of 12"):
        next_level(accept, 0.05, 12, [False] * 12)


def test_strict_hands_the_level_of_an_acceptance_on_to_the_next_look_only() -> None:
    assert next_level("strict", 0.05, 10, [True]) == pytest.approx(0.01)
    assert next_level("strict", 0.05, 10, [True, True]) == pytest.approx(0.015)
    assert next_level("strict", 0.05, 10, [True, False]) == pytest.approx(0.005)


def test_investing_earns_alpha_again_with_each_acceptance_but_the_first() -> None:
    assert next_level("investing", 0.2, 10, [True]) == pytest.approx(0.02)
    assert next_level("investing", 0.2, 10, [True, True]) == pytest.approx(0.04)
    assert next_level("investing", 0.2, 10, [True, True, False]) == pytest.approx(0.04)


def test_any_higher_mean_is_enough_for_the_papers_rule() -> None:
    assert float(final_level(make_rule("mean", 0.0, 10).level())[0]) == 0.5


@pytest.mark.parametrize(("n", "ends"), [(10, (10,)), (39, (39,)), (40, (20, 40)), (300, (60, 120, 180, 240, 300))])
def test_a_race_has_up_to_five_blocks_of_at_least_twenty(n: int, ends: tuple[int, ...]) -> None:
    assert blocks(n) == ends


def seen(units: int, won: int, lost: int) -> Seen:
    return Seen(units, *(np.array([float(x)]) for x in (won - lost, won + lost, won + lost)))


LEVEL = np.array([0.01])


@pytest.mark.parametrize(
    ("so_far", "expected"),
    [
        (seen(180, 60, 2), 1),
        (seen(60, 10, 3), 0),
        (seen(180, 3, 20), -1),
        (seen(120, 0, 0), -1),
        (seen(240, 6, 6), -1),
    ],
    ids=["far ahead", "open", "far behind", "nothing differs", "even, near the end"],
)
def test_a_race_is_settled_when_its_end_is_as_good_as_certain(so_far: Seen, expected: int) -> None:
    assert standing(so_far, 300, LEVEL)[0] == expected


def test_a_lead_that_is_less_than_the_least_gain_settles_nothing() -> None:
    assert standing(seen(180, 40, 2), 300, LEVEL)[0] == 1
    assert standing(seen(180, 40, 2), 300, LEVEL, least=0.2 * 300)[0] != 1


@pytest.mark.parametrize("rule", ["strict 5 %", "investing 5 %", "investing 20 %"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_raced_search_of_useless_variants_errs_no_more_than_promised(rule: str, shared: bool) -> None:
    row = simulate(rule, World(100, 0.2, 0.0, 20, True, shared), searches=4000)
    assert row.any_useless_high <= (0.2 if "20" in rule else 0.05)
    assert row.saved > 0.3


def test_the_papers_rule_accepts_something_useless_almost_surely() -> None:
    assert simulate("mean", World(300, 0.2, 0.0, 20, False, True), searches=2000).any_useless > 0.9


def test_racing_costs_little_power_and_saves_calls() -> None:
    raced, whole = (
        simulate("investing 20 %", World(300, 0.15, 0.1, 12, flag, True), searches=2000) for flag in (True, False)
    )
    assert raced.power is not None
    assert whole.power is not None
    assert raced.power > whole.power - 0.05 > 0.4
    assert raced.saved > 0.25


def test_the_summary_has_the_worst_error_bounds_and_the_power_at_15_percent() -> None:
    grid = [replace(simulate("strict 5 %", world, searches=20), any_useless_high=0.01, useless_share_high=0.02,
                    power=0.5 if world.gain else None, saved=0.4) for world in worlds(2)]  # fmt: skip
    worst = [
        replace(row, any_useless_high=0.033 if row.shared else 0.042) if row.cases == 100 and not row.gain else row
        for row in grid
    ]
    _, _, line = summary(worst).splitlines()
    powers = " | ".join(["50% / 50% / 50%"] * 3)
    assert line == f"| strict 5 % | 3.3% | 4.2% | 2.0% | {powers} | 40% | 40% |"


def test_the_tables_of_the_page_are_those_that_the_simulation_prints() -> None:
    page = Path(__file__).parent.parent.joinpath("docs", "statistics.md").read_text(encoding="utf-8")
    assert page.count(f"| {' | '.join(SUMMARY)} |") == 3
