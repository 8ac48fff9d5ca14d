"""Intervals cover what they promise, tests reject no oftener than they promise, and edge cases have honest answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats as reference

from fapo.stats import (
    PairedComparison,
    cases_needed,
    detectable_difference,
    detectable_gain,
    forecast_sum,
    lower_bound,
    mean_interval,
    nearest_rank,
    paired_comparison,
)


def compare(
    candidate: Sequence[float], incumbent: Sequence[float], clusters: Sequence[str] | None = None
) -> PairedComparison:
    ids = [f"case-{number}" for number in range(len(candidate))]
    named = None if clusters is None else dict(zip(ids, clusters, strict=True))
    return paired_comparison(
        dict(zip(ids, candidate, strict=True)), dict(zip(ids, incumbent, strict=True)), clusters=named
    )


def flips(won: int, lost: int, tied: int) -> PairedComparison:
    return compare([1.0] * won + [0.0] * lost + [1.0] * tied, [0.0] * won + [1.0] * lost + [1.0] * tied)


def rate_of(hits: int, trials: int) -> tuple[float, float]:
    """The range of true rates that a simulated count agrees with (99.9 %)."""
    found = reference.binomtest(hits, trials).proportion_ci(0.999)
    return float(found.low), float(found.high)


# -- the mean


def test_a_share_has_wilsons_interval() -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 and 15 of 148."""
    first = mean_interval([1.0] * 81 + [0.0] * 182)
    assert (first.low, first.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    second = mean_interval([1.0] * 15 + [0.0] * 133)
    assert (second.low, second.high) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert (first.mean, first.n) == (81 / 263, 263)


@pytest.mark.parametrize(("values", "low", "high"), [([0.0] * 20, 0.0, 0.1611), ([1.0], 0.2065, 1.0)])
def test_equal_values_leave_room_for_others(values: list[float], low: float, high: float) -> None:
    found = mean_interval(values)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("values", [[0.5] * 10, [0.3], [1.0] * 30, [0.25, 0.25], [0.0, 0.5, 1.0]])
def test_no_interval_has_zero_width_or_leaves_the_unit(values: list[float]) -> None:
    found = mean_interval(values)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.high - found.low > 0.05


def test_trials_of_a_case_are_no_new_cases() -> None:
    cases = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]
    repeated = mean_interval(cases * 5, [str(number) for number in range(10)] * 5)
    taken_as_new = mean_interval(cases * 5)
    once = mean_interval(cases)
    assert repeated.high - repeated.low > 2 * (taken_as_new.high - taken_as_new.low)
    assert repeated.high - repeated.low == pytest.approx(once.high - once.low, rel=0.15)


def test_more_confidence_is_wider() -> None:
    values = [0.1, 0.9, 0.5, 0.7]
    wide, narrow = mean_interval(values, confidence=0.99), mean_interval(values, confidence=0.8)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_swapping_right_and_wrong_mirrors_the_interval() -> None:
    values = [1.0, 0.8, 0.1, 0.0, 1.0, 1.0]
    found, mirrored = mean_interval(values), mean_interval([1 - value for value in values])
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))


@pytest.mark.parametrize("values", [[], [1.2], [-0.1, 0.5], [math.nan]])
def test_no_values_and_impossible_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no values|outside"):
        mean_interval(values)


def test_each_value_needs_its_cluster() -> None:
    with pytest.raises(ValueError, match="cluster"):
        mean_interval([0.0, 1.0], ["a"])


@pytest.mark.parametrize(("right", "wrong", "n"), [(0.8, 0.1, 20), (0.3, 0.3, 50), (0.6, 0.3, 300)])
def test_intervals_of_graded_scores_cover(right: float, wrong: float, n: int) -> None:
    rng = np.random.default_rng(11)
    truth, hits, trials = right + (1 - right - wrong) / 2, 0, 1500
    for _ in range(trials):
        kind, graded = rng.random(n), rng.random(n)
        values = np.where(kind < right, 1.0, np.where(kind < right + wrong, 0.0, graded))
        found = mean_interval([float(value) for value in values])
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / trials <= 0.975


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (4.0, 0.5)])
def test_intervals_over_clusters_cover(a: float, b: float) -> None:
    rng = np.random.default_rng(12)
    names = [str(number) for number in range(60) for _ in range(3)]
    hits, trials = 0, 1500
    for _ in range(trials):
        values = (rng.random((60, 3)) < rng.beta(a, b, 60)[:, None]).ravel()
        found = mean_interval([float(value) for value in values], names)
        hits += found.low <= a / (a + b) <= found.high
    assert 0.93 <= hits / trials <= 0.975


# -- the paired comparison


def test_mcnemars_exact_test_counts_the_patterns_of_the_discordant_pairs() -> None:
    found = flips(9, 2, 33)
    assert found.p_greater == pytest.approx((55 + 11 + 1) / 2**11)
    assert found.p_two_sided == pytest.approx(2 * (55 + 11 + 1) / 2**11)
    assert (found.won, found.lost, found.tied, found.n) == (9, 2, 33, 44)
    assert found.difference == pytest.approx(7 / 44)


def test_the_exact_test_is_near_its_textbook_approximation() -> None:
    """Agresti 1990, p. 350, approval in two surveys of 1,600: 150 changed one way and 86 the other."""
    corrected = float(reference.chi2.sf((150 - 86 - 1) ** 2 / (150 + 86), 1))
    assert flips(150, 86, 1364).p_two_sided == pytest.approx(corrected, rel=0.1)


def test_the_interval_of_flips_adds_one_pair_each_way() -> None:
    """Bonett & Price 2012, on the pairs of Bentur et al. 2009: 1 against 7 of 21."""
    up, down = 2 / 23, 8 / 23
    half = 1.959964 * math.sqrt((up + down - (up - down) ** 2) / 23)
    found = flips(1, 7, 13)
    assert (found.low, found.high) == pytest.approx((up - down - half, up - down + half))


def test_nothing_that_differs_proves_nothing() -> None:
    found = flips(0, 0, 40)
    assert (found.p_greater, found.p_two_sided, found.difference) == (1.0, 1.0, 0.0)
    assert found.low < 0 < found.high


@pytest.mark.parametrize("values", [[1.0], [0.5, 0.5], [1.0] * 5, [0.2, 0.4, 0.9]])
def test_no_paired_interval_has_zero_width(values: list[float]) -> None:
    for incumbent in ([0.0] * len(values), values):
        found = compare(values, incumbent)
        assert -1 <= found.low <= found.difference <= found.high <= 1
        assert found.high - found.low > 0.1


def test_few_graded_differences_are_enumerated() -> None:
    """Four differences, all upward: one of the sixteen sign patterns is as extreme."""
    found = compare([0.9, 0.8, 0.7, 0.5, 0.3], [0.1, 0.2, 0.3, 0.4, 0.3])
    assert found.p_greater == 1 / 16
    assert found.p_two_sided == 2 / 16
    assert found.tied == 1


def test_enumeration_drawing_and_the_binomial_agree() -> None:
    rng = np.random.default_rng(5)
    twelve = rng.normal(0.1, 0.2, 12)
    exact = reference.permutation_test(
        (twelve,), lambda x: float(np.mean(x)), permutation_type="samples", n_resamples=10_000, alternative="greater"
    )
    values = [0.5 + float(difference) for difference in twelve]
    assert compare(values, [0.5] * 12).p_greater == pytest.approx(float(exact.pvalue))
    drawn = compare([1.0] * 30 + [0.0] * 20 + [0.999], [0.0] * 30 + [1.0] * 20 + [0.0])
    assert drawn.p_greater == pytest.approx(flips(31, 20, 0).p_greater, abs=0.01)


def test_exchanging_the_variants_mirrors_the_comparison() -> None:
    rng = np.random.default_rng(6)
    for size in (8, 60):
        one, other = rng.random(size).tolist(), rng.random(size).tolist()
        there, back = compare(one, other), compare(other, one)
        assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
        assert (back.won, back.lost) == (there.lost, there.won)
        assert back.p_two_sided == pytest.approx(there.p_two_sided, abs=0.02)
        assert back.p_greater + there.p_greater == pytest.approx(1, abs=0.02)


def test_the_order_of_cases_and_repeated_calls_change_nothing() -> None:
    rng = np.random.default_rng(7)
    candidate = {f"{number}": float(value) for number, value in enumerate(rng.random(80))}
    incumbent = dict.fromkeys(reversed(candidate), 0.45)
    assert paired_comparison(candidate, incumbent) == paired_comparison(
        dict(reversed(candidate.items())), dict(incumbent)
    )


def test_a_gain_within_one_cluster_is_one_observation() -> None:
    together = compare([1.0] * 12 + [0.0] * 8, [0.0] * 20, ["a"] * 12 + list("bcdefghi"))
    apart = compare([1.0] * 12 + [0.0] * 8, [0.0] * 20)
    assert together.p_greater == 0.5
    assert apart.p_greater < 0.001
    assert together.low < 0 < apart.low


def test_a_single_cluster_bounds_nothing() -> None:
    found = compare([1.0, 0.5, 1.0], [0.0, 0.0, 0.0], ["a", "a", "a"])
    assert (found.low, found.high) == (-1.0, 1.0)


def test_equal_gains_everywhere_are_significant_though_nothing_varies() -> None:
    found = compare([0.6] * 30, [0.5] * 30)
    assert found.p_greater == pytest.approx(2**-30)
    assert found.low < found.difference < found.high


@pytest.mark.parametrize(
    ("candidate", "incumbent", "clusters"),
    [
        ({"a": 1.0}, {"b": 1.0}, None),
        ({"a": 1.0}, {"a": 1.0, "b": 0.0}, None),
        ({}, {}, None),
        ({"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}, {"a": "x"}),
        ({"a": math.nan}, {"a": 1.0}, None),
    ],
)
def test_what_cannot_be_paired_is_refused(
    candidate: dict[str, float], incumbent: dict[str, float], clusters: dict[str, str] | None
) -> None:
    with pytest.raises(ValueError, match=r"different cases|no cluster|not numbers"):
        paired_comparison(candidate, incumbent, clusters=clusters)


def null_p_values(kind: str, trials: int) -> list[float]:
    """p of variants that are no better, on 120 cases."""
    rng = np.random.default_rng(21)
    sizes = [30, 20, 10, 10, *[2] * 25]
    names = [str(cluster) for cluster, size in enumerate(sizes) for _ in range(size)]
    found = []
    for _ in range(trials):
        if kind == "graded":
            found.append(compare(rng.random(120).tolist(), rng.random(120).tolist()).p_greater)
            continue
        lean = rng.normal(0, 1, len(sizes)) if kind == "clusters" else np.zeros(len(sizes))
        differs = rng.random(120) < 0.3
        upward = rng.random(120) < 1 / (1 + np.exp(-np.repeat(lean, sizes)))
        candidate = (differs & upward).astype(float).tolist()
        incumbent = (differs & ~upward).astype(float).tolist()
        found.append(compare(candidate, incumbent, names if kind == "clusters" else None).p_greater)
    return found


@pytest.mark.parametrize(("kind", "least"), [("flips", 0.02), ("graded", 0.035), ("clusters", 0.03)])
def test_useless_variants_pass_as_often_as_alpha_says(kind: str, least: float) -> None:
    """Exact tests of coarse data stay below alpha; they must not be far below."""
    found = null_p_values(kind, 400)
    low, high = rate_of(sum(p <= 0.05 for p in found), len(found))
    assert low <= 0.05
    assert high >= least
    assert 0.4 <= float(np.median(found)) <= 0.65


@pytest.mark.parametrize("kind", ["flips", "graded", "clusters"])
def test_paired_intervals_cover(kind: str) -> None:
    rng = np.random.default_rng(31)
    names = [str(number // 3) for number in range(180)]
    hits, trials = 0, 1000
    for _ in range(trials):
        if kind == "graded":
            candidate, incumbent, truth = rng.beta(3, 2, 40), rng.beta(2, 2, 40), 0.1
        else:
            n = 180 if kind == "clusters" else 40
            level = np.repeat(rng.random(n // 3 + 1), 3)[:n] if kind == "clusters" else np.full(n, 0.5)
            incumbent = (rng.random(n) < level).astype(float)
            candidate = np.maximum(incumbent, rng.random(n) < 0.2)
            truth = 0.1
        found = compare(candidate.tolist(), incumbent.tolist(), names if kind == "clusters" else None)
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / trials <= 0.985


# -- planning


@pytest.mark.parametrize("n", [100, 300, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
@pytest.mark.parametrize("baseline", [0.2, 0.5])
def test_a_detectable_gain_is_detected_four_times_in_five(n: int, alpha: float, baseline: float) -> None:
    gain, noise = detectable_gain(n, alpha, baseline=baseline), 0.4 * baseline * (1 - baseline)
    shares = [gain + noise / 2, noise / 2, 1 - gain - noise]
    counts = np.random.default_rng(41).multinomial(n, shares, 4000)
    accepted = reference.binom.sf(counts[:, 0] - 1, counts[:, 0] + counts[:, 1], 0.5) <= alpha
    assert 0.74 <= float(accepted.mean()) <= 0.83


def test_more_cases_detect_smaller_gains_and_more_noise_only_larger_ones() -> None:
    assert detectable_gain(100, 0.05, baseline=0.5) > detectable_gain(400, 0.05, baseline=0.5)
    assert detectable_gain(300, 0.005, baseline=0.5) > detectable_gain(300, 0.05, baseline=0.5)
    assert detectable_gain(300, 0.05, baseline=0.5, power=0.95) > detectable_gain(300, 0.05, baseline=0.5)
    quiet, loud = (detectable_gain(300, 0.05, baseline=0.5, discordance=share) for share in (0.0, 0.3))
    assert quiet < detectable_gain(300, 0.05, baseline=0.5) < loud


def test_a_handful_of_cases_detects_nothing() -> None:
    assert detectable_gain(3, 0.005, baseline=0.5) == 1.0


Arm = dict[str, float]


def two_arms(
    rng: np.random.Generator, n: int, gain: float, noise: float, lean: float
) -> tuple[Arm, Arm, dict[str, int]]:
    """0/1 scores that differ in `noise` of the cases, and `gain` more upwards; clusters of ten lean either way."""
    leans = np.repeat(rng.choice([-lean, lean], n // 10), 10)
    up = np.maximum(gain + noise / 2 + leans, 0)
    drawn = rng.random(n)
    higher, lower = drawn < up, (drawn >= up) & (drawn < up + np.maximum(noise / 2 - leans, 0))
    candidate, incumbent = ({str(i): float(value) for i, value in enumerate(arm)} for arm in (higher, lower))
    return candidate, incumbent, {str(i): i // 10 for i in range(n)}


@pytest.mark.parametrize(("n", "noise", "lean"), [(100, 0.3, 0.0), (300, 0.1, 0.0), (300, 0.2, 0.1)])
def test_a_detectable_difference_is_detected_about_four_times_in_five(n: int, noise: float, lean: float) -> None:
    """It is judged from a comparison of two equally good variants."""
    rng = np.random.default_rng(61)

    def clustered(gain: float) -> tuple[Arm, Arm, dict[str, str] | None]:
        candidate, incumbent, units = two_arms(rng, n, gain, noise, lean)
        return candidate, incumbent, {case: str(unit) for case, unit in units.items()} if lean else None

    guesses = []
    for _ in range(100):
        candidate, incumbent, clusters = clustered(0.0)
        guesses.append(detectable_difference(candidate, incumbent, clusters=clusters))
    gain, hits = float(np.mean(guesses)), 0
    for _ in range(300):
        candidate, incumbent, clusters = clustered(gain)
        hits += paired_comparison(candidate, incumbent, clusters=clusters).p_two_sided <= 0.05
    assert 0.65 <= hits / 300 <= 0.9


def test_clusters_make_a_difference_harder_to_detect() -> None:
    candidate, incumbent, units = two_arms(np.random.default_rng(62), 300, 0.0, 0.3, 0.15)
    clusters = {case: str(unit) for case, unit in units.items()}
    apart = detectable_difference(candidate, incumbent)
    assert detectable_difference(candidate, incumbent, clusters=clusters) > 1.3 * apart
    assert detectable_difference(candidate, incumbent, clusters=dict.fromkeys(candidate, "one")) == 1.0


def test_graded_differences_are_detected_by_their_spread() -> None:
    rng = np.random.default_rng(63)
    incumbent = {str(i): float(value) for i, value in enumerate(rng.random(200))}
    small, large = (
        {case: value + float(rng.normal(0, spread)) for case, value in incumbent.items()} for spread in (0.05, 0.5)
    )
    assert detectable_difference(small, incumbent) < 0.5 * detectable_difference(large, incumbent)


def test_equal_answers_do_not_mean_that_anything_is_detected() -> None:
    same = {str(i): 1.0 for i in range(100)}
    assert 0.05 < detectable_difference(same, same) < 0.1


# -- forecasts


@pytest.mark.parametrize(("seen", "rest"), [(3, 97), (5, 295), (20, 20)])
def test_forecasts_of_a_sum_cover(seen: int, rest: int) -> None:
    rng = np.random.default_rng(71)
    hits, runs = 0, 2000
    for _ in range(runs):
        values = np.maximum(rng.normal(10, 3, seen + rest), 0)
        found = forecast_sum(values[:seen].tolist(), rest)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= values.sum() <= found.high
    assert 0.93 <= hits / runs <= 0.97


def test_a_forecast_adds_what_is_expected_to_what_is_seen() -> None:
    found = forecast_sum([1.0, 3.0], 8)
    assert found.expected == 20
    assert found.low == 4, "it never lies below what is seen"


def test_what_is_seen_whole_or_once_has_no_range() -> None:
    assert (forecast_sum([1.0, 3.0], 0).low, forecast_sum([1.0, 3.0], 0).high) == (4, 4)
    assert (forecast_sum([2.0], 9).expected, forecast_sum([2.0], 9).low, forecast_sum([2.0], 9).high) == (
        20,
        None,
        None,
    )
    with pytest.raises(ValueError, match="no values"):
        forecast_sum([], 9)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.95, 10), (0.9, 9), (0.0, 1), (1.0, 10)])
def test_a_rank_is_always_one_of_the_values(share: float, expected: float) -> None:
    assert nearest_rank([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected
    assert nearest_rank([], share) is None


@pytest.mark.parametrize("gain", [0.03, 0.05, 0.2])
def test_the_cases_needed_for_a_gain_are_those_that_can_detect_it(gain: float) -> None:
    n = cases_needed(gain, 0.01, baseline=0.5)
    assert detectable_gain(n, 0.01, baseline=0.5) <= gain < detectable_gain(n - 1, 0.01, baseline=0.5)


def test_a_lower_bound_is_the_end_of_the_wider_interval() -> None:
    candidate, incumbent = {str(n): float(n % 3 > 0) for n in range(60)}, {str(n): float(n % 2) for n in range(60)}
    found = paired_comparison(candidate, incumbent)
    assert lower_bound(candidate, incumbent, confidence=0.975) == pytest.approx(found.low)
    assert lower_bound(candidate, incumbent, confidence=0.95) > found.low
