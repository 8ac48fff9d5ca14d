"""The simulation of nights: the rule errs less than it promises, and sees a late fall as soon as an early one."""

from __future__ import annotations

from bench.drift import ALPHA, simulate

RUNS = 1000


def test_equal_shares_keep_their_promise_where_a_test_each_night_does_not() -> None:
    ours = simulate("equal shares", 300, 0.1, 0.0, runs=RUNS)
    naive = simulate("5 % each night", 300, 0.1, 0.0, runs=RUNS)
    assert ours.high is not None
    assert ours.high < ALPHA
    assert naive.alarm is not None
    assert naive.alarm > 0.3


def test_a_late_fall_is_seen_as_soon_as_an_early_one_and_later_by_an_endless_series() -> None:
    early, late = (simulate("equal shares", 300, 0.1, 0.1, since=since, runs=RUNS) for since in (1, 61))
    series = simulate("endless series", 300, 0.1, 0.1, since=61, runs=RUNS)
    assert early.first is not None
    assert late.first is not None
    assert series.first is not None
    assert abs(early.first - late.first) < 0.06
    assert series.first < late.first - 0.2
