"""Trials of one case are no new cases: intervals allow for that, and how far trials agree is measured."""

from __future__ import annotations

import numpy as np
import pytest

from fapo.stats import mean_interval, paired_comparison, repeatability

JUDGED = {
    "1": [9, 2, 5, 8], "2": [6, 1, 3, 2], "3": [8, 4, 6, 8], "4": [7, 1, 2, 6], "5": [10, 5, 6, 9], "6": [6, 2, 4, 7],
}  # fmt: skip
"""Shrout & Fleiss 1979, Psychological Bulletin 86, table 2."""


def sampled(rng: np.random.Generator, cases: int, trials: int, a: float, b: float) -> np.ndarray:
    """0/1 scores of cases whose own chances follow Beta(a, b): the smaller a + b, the more alike a case's trials."""
    return (rng.random((cases, trials)) < rng.beta(a, b, cases)[:, None]).astype(float)


# -- the mean


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.1), (0.3, 0.3), (1.0, 1.0), (2.0, 0.5)])
def test_the_interval_over_case_means_covers_and_one_over_samples_would_not(a: float, b: float) -> None:
    rng = np.random.default_rng(51)
    truth, runs, right, naive = a / (a + b), 1000, 0, 0
    for _ in range(runs):
        scores = sampled(rng, 60, 5, a, b)
        found, taken_as_new = mean_interval(scores.mean(axis=1).tolist()), mean_interval(scores.ravel().tolist())
        right += found.low <= truth <= found.high
        naive += taken_as_new.low <= truth <= taken_as_new.high
    assert 0.93 <= right / runs <= 0.975
    assert naive / runs < 0.88


def test_the_interval_over_case_means_covers_where_cases_cluster_too() -> None:
    rng = np.random.default_rng(52)
    names = [str(number // 3) for number in range(120)]
    runs, right = 1000, 0
    for _ in range(runs):
        chances = np.clip(np.repeat(rng.beta(1, 1, 40), 3) + rng.normal(0, 0.05, 120), 0, 1)
        means = (rng.random((120, 4)) < chances[:, None]).mean(axis=1)
        found = mean_interval(means.tolist(), names)
        right += found.low <= 0.5 <= found.high
    assert 0.93 <= right / runs <= 0.975


def test_means_of_cases_and_their_trials_under_its_name_have_one_interval() -> None:
    scores = sampled(np.random.default_rng(53), 80, 4, 1.0, 1.0)
    names = [str(case) for case in range(80) for _ in range(4)]
    over_means, over_trials = mean_interval(scores.mean(axis=1).tolist()), mean_interval(scores.ravel().tolist(), names)
    assert (over_means.low, over_means.high) == pytest.approx((over_trials.low, over_trials.high), abs=1e-9)


def test_trials_narrow_the_interval_only_by_their_own_noise() -> None:
    """With k trials the variance of a case's mean is that between cases, and a k-th of that within."""
    once, often = (
        mean_interval(sampled(np.random.default_rng(54), 2000, trials, 1.0, 1.0).mean(axis=1).tolist())
        for trials in (1, 16)
    )
    expected = ((1 / 12 + 1 / 6 / 16) / (1 / 12 + 1 / 6)) ** 0.5
    assert (often.high - often.low) / (once.high - once.low) == pytest.approx(expected, rel=0.05)


# -- the comparison


def test_useless_variants_pass_at_five_percent_over_trials_too() -> None:
    """Both variants have each case's own chance, so that only sampling makes them differ."""
    rng = np.random.default_rng(55)
    runs, hits = 600, 0
    for _ in range(runs):
        chances = rng.beta(0.3, 0.3, 40)[:, None]
        one, other = ((rng.random((40, 3)) < chances).mean(axis=1) for _ in range(2))
        named = ({str(case): float(value) for case, value in enumerate(means)} for means in (one, other))
        hits += paired_comparison(*named).p_two_sided <= 0.05
    assert 0.02 <= hits / runs <= 0.08


# -- how far trials agree


def test_the_share_within_cases_is_what_the_textbook_finds() -> None:
    """ICC(1, 1) of the table is 0.17; the mean squares are 11.24 between and 6.26 within."""
    found = repeatability(JUDGED)
    assert found is not None
    assert found.share_within == pytest.approx(1 - 0.17, abs=0.005)
    assert found.within_sd == pytest.approx(6.26**0.5, abs=0.005)
    assert found.between_sd == pytest.approx(((11.24 - 6.26) / 4) ** 0.5, abs=0.005)
    assert (found.cases, found.unsteady) == (6, 6)


def test_trials_that_always_agree_leave_all_variance_between_cases() -> None:
    found = repeatability({"x": [1.0, 1.0], "y": [0.0, 0.0, 0.0], "z": [1.0, 1.0]})
    assert found is not None
    assert (found.unsteady, found.within_sd, found.share_within) == (0, 0.0, 0.0)
    assert found.between_sd > 0


def test_cases_that_are_all_alike_leave_all_variance_within() -> None:
    found = repeatability({str(case): [0.0, 1.0] for case in range(10)})
    assert found is not None
    assert (found.unsteady, found.between_sd, found.share_within) == (10, 0.0, 1.0)


def test_where_nothing_varies_there_is_no_share() -> None:
    found = repeatability({"x": [1.0, 1.0], "y": [1.0, 1.0]})
    assert found is not None
    assert found.share_within is None


@pytest.mark.parametrize("samples", [{}, {"x": [1.0], "y": [0.0]}, {"x": [1.0, 0.0], "y": [1.0]}])
def test_one_sample_of_each_case_says_nothing_of_repeats(samples: dict[str, list[float]]) -> None:
    assert repeatability(samples) is None


def test_cases_with_one_sample_change_nothing() -> None:
    assert repeatability({**JUDGED, "7": [3]}) == repeatability(JUDGED)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (3.0, 3.0)])
def test_the_shares_of_a_known_mixture_are_found_whatever_the_number_of_trials(a: float, b: float) -> None:
    """Beta-binomial: the correlation of two trials of a case is 1 / (a + b + 1)."""
    rng = np.random.default_rng(56)
    sizes = rng.integers(2, 7, 3000)
    chances = rng.beta(a, b, 3000)
    samples = {
        str(case): (rng.random(size) < chance).astype(float).tolist()
        for case, (size, chance) in enumerate(zip(sizes, chances, strict=True))
    }
    found = repeatability(samples)
    assert found is not None
    assert found.share_within == pytest.approx(1 - 1 / (a + b + 1), abs=0.03)
