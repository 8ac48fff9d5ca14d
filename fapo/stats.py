"""Statistics of evaluations: intervals, paired tests, detectable gains, and how a search spends its alpha. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]

SMALL_UNITS = 12
"""Up to so many units with a difference, the sign-flip distribution is enumerated."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of `n` cases with its confidence interval, all in [0, 1]."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Candidate minus incumbent over the same cases.

    `p_greater` tests "no better" against "better", `p_two_sided` "no different"; `low` and `high` bound the mean
    difference with 95 % confidence; `won`, `lost` and `tied` count cases.
    """

    difference: float
    low: float
    high: float
    p_greater: float
    p_two_sided: float
    n: int
    won: int
    lost: int
    tied: int


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Mean and interval of values in [0, 1], one for each case (its mean over trials).

    Wilson's score interval (Wilson 1927) with the variance of the values in place of p(1 - p) where they are not all 0
    or 1; never of zero width. Raises ValueError without values.
    """
    if not values:
        raise ValueError("no values")
    n = len(values)
    mean = float(np.mean(values))
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    variance = mean * (1 - mean)
    spread = float(np.var(values)) / variance if variance > 0 else 1.0
    effective = n / max(spread, 1 / n)
    centre = (mean + z * z / (2 * effective)) / (1 + z * z / effective)
    half = z / (1 + z * z / effective) * math.sqrt(variance / effective + z * z / (4 * effective**2))
    return Interval(mean, max(0.0, centre - half), min(1.0, centre + half), n)


def paired_comparison(
    candidate: Mapping[str, float], incumbent: Mapping[str, float], *, clusters: Mapping[str, str] | None = None
) -> PairedComparison:
    """Compare two evaluations case by case. Raises ValueError unless both hold the same case ids.

    Independent cases whose differences are -1, 0 or 1 take McNemar's exact test (a binomial test of the discordant
    pairs). Otherwise the units are clusters (or cases): with few units that differ, the exact sign-flip test; with many, a
    t test on the cluster-robust standard error (Liang & Zeger 1986; Miller, arXiv 2411.00640).
    """
    if candidate.keys() != incumbent.keys() or not candidate:
        raise ValueError("the evaluations hold different cases")
    ids = sorted(candidate)
    differences = np.array([candidate[case] - incumbent[case] for case in ids])
    names = [clusters[case] for case in ids] if clusters is not None else ids
    n = len(ids)
    low, high = _interval(differences, names)
    p_greater, p_two_sided = _p_values(differences, names)
    won, lost = int((differences > 0).sum()), int((differences < 0).sum())
    return PairedComparison(float(differences.mean()), low, high, p_greater, p_two_sided, n, won, lost, n - won - lost)


def _unit_sums(differences: Values, names: Sequence[str]) -> Values:
    """The sum of differences of each unit (cluster, or case)."""
    _, index = np.unique(names, return_inverse=True)
    return np.bincount(index, weights=differences)


def _standard_error(differences: Values, names: Sequence[str]) -> float:
    """Cluster-robust standard error of the mean difference, with the small-sample factor m / (m - 1)."""
    residuals = _unit_sums(differences - differences.mean(), names)
    m = len(residuals)
    if m < 2:
        return math.inf
    return math.sqrt(m / (m - 1) * float((residuals**2).sum())) / len(differences)


def _interval(differences: Values, names: Sequence[str]) -> tuple[float, float]:
    """A t interval over the units, never of zero width: where all cases agree, the rule of three bounds the rest."""
    n, mean, m = len(differences), float(differences.mean()), len(set(names))
    error = _standard_error(differences, names)
    half = 1.0 if math.isinf(error) else float(stats.t.ppf(0.975, m - 1)) * error
    if np.ptp(differences) == 0:
        half = min(1.0, 3.0 / n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def _p_values(differences: Values, names: Sequence[str]) -> tuple[float, float]:
    units = _unit_sums(differences, names)
    moved = units[np.abs(units) > 1e-12]
    if len(moved) == 0:
        return 1.0, 1.0
    if len(units) == len(differences) and np.all(np.isin(differences, (-1.0, 0.0, 1.0))):
        won = int((moved > 0).sum())
        greater = float(stats.binomtest(won, len(moved), 0.5, alternative="greater").pvalue)
        return greater, float(stats.binomtest(won, len(moved), 0.5).pvalue)
    error = _standard_error(differences, names)
    if len(moved) <= SMALL_UNITS or error == 0:
        return _sign_flips(moved[:SMALL_UNITS])
    t, freedom = float(differences.mean()) / error, len(units) - 1
    return float(stats.t.sf(t, freedom)), float(2 * stats.t.sf(abs(t), freedom))


def _sign_flips(moved: Values) -> tuple[float, float]:
    """Exact p values over all ways to flip the signs of the units that differ (Fisher's randomization test)."""
    m = len(moved)
    signs = 1 - 2 * ((np.arange(2**m)[:, None] >> np.arange(m)) & 1)
    sums = signs @ moved
    observed = moved.sum()
    tolerance = 1e-9 * np.abs(moved).sum()
    return float((sums >= observed - tolerance).mean()), float((np.abs(sums) >= abs(observed) - tolerance).mean())


def detectable_gain(n: int, *, alpha: float, baseline: float, power: float = 0.8) -> float:
    """The smallest true gain that a one-sided paired test on `n` independent cases finds with this power.

    Normal approximation for a 0/1 score. The share of discordant pairs is not known beforehand; it is taken to be the
    gain itself plus 10 % of the cases that flip either way, as resampled and edited prompts commonly show, and no more
    than the baseline's room allows. At most 1.
    """
    z = float(stats.norm.ppf(1 - alpha) + stats.norm.ppf(power))
    noise = 0.4 * max(baseline * (1 - baseline), 0.05)
    low, high = 0.0, 1.0
    for _ in range(60):
        gain = (low + high) / 2
        discordant = min(1.0, gain + noise)
        if gain > z * math.sqrt(max(discordant - gain**2, 0.0) / n):
            high = gain
        else:
            low = gain
    return high


def spend(alpha: float, look: int, planned: int) -> float:
    """The level at which look number `look` (from 1) of at most `planned` is tested: equal shares.

    By Bonferroni's inequality the chance to accept any useless variant is at most `alpha`, whatever depends on what.
    """
    if not 1 <= look <= planned:
        raise ValueError(f"look {look} of {planned}")
    return alpha / planned
