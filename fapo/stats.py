"""Statistics of evaluations: intervals, paired tests, detectable gains, forecasts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]

ENUMERATED_UNITS = 12
"""Up to so many units that differ, all sign flips are enumerated (4,096); beyond, they are drawn."""
DRAWN_FLIPS = 20_000
_FLIPS_AT_ONCE = 1000  # a divisor of DRAWN_FLIPS that keeps a block of flips small
CORRELATION = 0.8
"""How alike two variants of one pipeline are assumed to answer, where no noise floor was measured."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of `n` values with its confidence interval, all in [0, 1]."""

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


@dataclass(frozen=True, slots=True)
class Repeatability:
    """How far repeated samples of a case agree, over the `cases` that have two samples or more.

    `unsteady` of them scored differently from sample to sample. The standard deviations are of one sample around its
    case (`within_sd`) and of the cases' true means around each other (`between_sd`); `share_within` is the share of the
    variance of a single sample that lies within cases, None where nothing varies.
    """

    cases: int
    unsteady: int
    within_sd: float
    between_sd: float
    share_within: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sum is expected to come to; `low` and `high` are None where nothing is known of the spread."""

    expected: float
    low: float | None
    high: float | None


def mean_interval(
    values: Sequence[float], clusters: Sequence[str] | None = None, *, confidence: float = 0.95
) -> Interval:
    """Mean and interval of values in [0, 1], of independent cases or of whatever shares a name in `clusters`.

    Trials of one case are not independent: give the means of the cases, or case ids as `clusters`. The interval is
    Wilson's (1927), which stays in [0, 1] and never has zero width, at the effective size n* = mean (1 - mean) / SE^2,
    with the cluster-robust standard error SE and a t quantile (Korn & Graubard 1998; Dean & Pagano 2015). Independent
    0/1 values take n* = n and a normal quantile: Wilson's own. Where nothing varies, n* is the number of units. A plain
    t interval covers 87 to 95 % of means near 1 in simulation, this one 93 to 98 %. Raises ValueError for no values or
    wrong ones.
    """
    found = np.asarray(values, dtype=np.float64)
    names = list(clusters) if clusters is not None else list(map(str, range(len(found))))
    if len(found) == 0 or len(names) != len(found):
        raise ValueError("no values" if len(found) == 0 else "each value needs its cluster")
    if not np.all((found >= 0) & (found <= 1)):
        raise ValueError("values lie outside of [0, 1]")
    n, units, mean = len(found), len(set(names)), float(found.mean())
    error = _standard_error(found, names)
    quantile, size = float(stats.norm.ppf(0.5 + confidence / 2)), float(units)
    simple = units == n and bool(np.all(np.isin(found, (0.0, 1.0))))
    if not simple and units > 1 and error > _TINY:
        quantile = float(stats.t.ppf(0.5 + confidence / 2, units - 1))
        size = mean * (1 - mean) / error**2
    low, high = _wilson(mean, size, quantile)
    return Interval(mean, low, high, n)


def _wilson(mean: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval for a share `mean` of `n`. It always holds the mean itself."""
    scale = 1 + z * z / n
    centre = (mean + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))


def paired_comparison(
    candidate: Mapping[str, float], incumbent: Mapping[str, float], *, clusters: Mapping[str, str] | None = None
) -> PairedComparison:
    """Compare two evaluations case by case; `clusters` names, for each case, what it is not independent of.

    The p values come from the sign-flip test over units (cases, or cluster sums): if the variants are alike, each
    unit's difference is as likely to have the other sign (Fisher 1935; over clusters, Canay, Romano & Shaikh 2017). On
    0/1 scores of independent cases that is McNemar's exact test. Nothing that differs gives p = 1.

    A t test on the cluster-robust error (Miller 2024, arXiv 2411.00640) is not used for p: simulated on the clusters of
    a real benchmark it accepted useless variants up to 1.7 times as often as alpha = 0.005 promises. The interval does
    use that error. Raises ValueError unless both hold the same cases, at least one, each with a cluster.
    """
    differences, names = _paired(candidate, incumbent, clusters)
    low, high = _difference_interval(differences, names)
    p_greater, p_two_sided = _sign_flips(_unit_sums(differences, names))
    n, won, lost = len(names), int((differences > 0).sum()), int((differences < 0).sum())
    mean = float(differences.mean())
    return PairedComparison(mean, low, high, p_greater, p_two_sided, n, won, lost, n - won - lost)


def lower_bound(
    candidate: Mapping[str, float],
    incumbent: Mapping[str, float],
    *,
    clusters: Mapping[str, str] | None = None,
    confidence: float,
) -> float:
    """The one-sided lower confidence bound of the mean difference, as the intervals of `paired_comparison` are made.

    Raises ValueError as `paired_comparison` does.
    """
    return _difference_interval(*_paired(candidate, incumbent, clusters), confidence=2 * confidence - 1)[0]


def _paired(
    candidate: Mapping[str, float], incumbent: Mapping[str, float], clusters: Mapping[str, str] | None
) -> tuple[Values, list[str]]:
    """The differences in the order of the case ids, and the unit that each belongs to."""
    if candidate.keys() != incumbent.keys() or not candidate:
        raise ValueError("the evaluations hold different cases, or none")
    ids = sorted(candidate)
    if clusters is not None and not clusters.keys() >= candidate.keys():
        raise ValueError("some cases have no cluster")
    names = [clusters[case] for case in ids] if clusters is not None else ids
    differences = np.array([candidate[case] - incumbent[case] for case in ids], dtype=np.float64)
    if not np.all(np.isfinite(differences)):
        raise ValueError("some values are not numbers")
    differences[np.abs(differences) < _TINY] = 0.0
    return differences, names


def _unit_sums(values: Values, names: Sequence[str]) -> Values:
    """The sum of the values of each unit (cluster, or case)."""
    _, index = np.unique(names, return_inverse=True)
    return np.asarray(np.bincount(index, weights=values), dtype=np.float64)


def _standard_error(values: Values, names: Sequence[str]) -> float:
    """Cluster-robust standard error of the mean (Liang & Zeger 1986) with m / (m - 1); infinite for one unit."""
    residuals = _unit_sums(values - values.mean(), names)
    m = len(residuals)
    return math.sqrt(m / (m - 1) * float((residuals**2).sum())) / len(values) if m > 1 else math.inf


def _difference_interval(differences: Values, names: Sequence[str], *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean difference, never of zero width.

    Independent differences of -1, 0, 1: the adjusted Wald interval of Bonett & Price (2012). Otherwise t over the
    units; where nothing varies, the rule of three on the units; over a single unit, all of [-1, 1].
    """
    n, mean, m = len(differences), float(differences.mean()), len(set(names))
    tail = 0.5 + confidence / 2
    if m == n and np.all(np.isin(differences, (-1.0, 0.0, 1.0))):
        won, lost = int((differences > 0).sum()), int((differences < 0).sum())
        centre = (won - lost) / (n + 2)
        half = float(stats.norm.ppf(tail)) * math.sqrt(((won + lost + 2) / (n + 2) - centre**2) / (n + 2))
    else:
        error = _standard_error(differences, names)
        centre = mean
        half = 2.0 if m == 1 else float(stats.t.ppf(tail, m - 1)) * error if error > _TINY else min(1.0, 3.0 / m)
    return max(-1.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))


def _sign_flips(units: Values) -> tuple[float, float]:
    """One- and two-sided p of the sum of `units` over all ways to flip their signs.

    Exact where all that differ have one size (a binomial test) or are at most ENUMERATED_UNITS; otherwise over
    DRAWN_FLIPS draws from a fixed seed, the observed one counted, so that p is valid and the same in every run.
    """
    moved = units[np.abs(units) > _TINY]
    sizes = np.abs(moved)
    if len(moved) == 0:
        return 1.0, 1.0
    if float(np.ptp(sizes)) < _TINY:
        won = int((moved > 0).sum())
        greater = stats.binomtest(won, len(moved), 0.5, alternative="greater").pvalue
        return float(greater), float(stats.binomtest(won, len(moved), 0.5).pvalue)
    observed, slack = float(moved.sum()), 1e-9 * float(sizes.sum())
    if len(moved) <= ENUMERATED_UNITS:
        flips = (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1
        sums = (1 - 2 * flips) @ sizes
        return float((sums >= observed - slack).mean()), float((np.abs(sums) >= abs(observed) - slack).mean())
    rng = np.random.default_rng(0)
    blocks = (rng.integers(0, 2, (_FLIPS_AT_ONCE, len(sizes))) for _ in range(DRAWN_FLIPS // _FLIPS_AT_ONCE))
    sums = np.concatenate([(1 - 2 * flips) @ sizes for flips in blocks])
    greater, either = (sums >= observed - slack).sum(), (np.abs(sums) >= abs(observed) - slack).sum()
    return float(greater + 1) / (DRAWN_FLIPS + 1), float(either + 1) / (DRAWN_FLIPS + 1)


def detectable_gain(
    n: int, alpha: float, *, baseline: float, power: float = 0.8, discordance: float | None = None
) -> float:
    """The smallest true gain of a 0/1 score that a paired one-sided test on `n` independent cases finds with `power`.

    Normal approximation to McNemar's test (Miettinen 1968; Connor 1987): with the share d of cases that come out
    differently, gain = (z_alpha sqrt(d) + z_power sqrt(d - gain^2)) / sqrt(n). The exact test has one to five points
    less power. It is assumed that d = gain + discordance, where `discordance` is the share that differs between two
    equally good variants: measure it by an identical second arm (the noise floor), or take the default
    2 b (1 - b) (1 - CORRELATION) at the baseline's mean b. At most 1; a result above 1 - baseline says that this many
    cases cannot show any gain. Graded scores usually vary less, so that for them it errs on the safe side.
    """
    z_alpha, z_power = float(stats.norm.ppf(1 - alpha)), float(stats.norm.ppf(power))
    noise = 2 * baseline * (1 - baseline) * (1 - CORRELATION) if discordance is None else discordance
    low, high = 0.0, 1.0
    for _ in range(50):
        gain = (low + high) / 2
        share = min(1.0, gain + noise)
        needed = z_alpha * math.sqrt(share) + z_power * math.sqrt(max(share - gain**2, 0.0))
        low, high = (low, gain) if gain * math.sqrt(n) > needed else (gain, high)
    return high


def cases_needed(
    gain: float, alpha: float, *, baseline: float, power: float = 0.8, discordance: float | None = None
) -> int:
    """How many independent cases a paired one-sided test needs to find a true `gain`; see `detectable_gain`."""
    low, high = 1, 2
    while detectable_gain(high, alpha, baseline=baseline, power=power, discordance=discordance) > gain:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        found = detectable_gain(middle, alpha, baseline=baseline, power=power, discordance=discordance)
        low, high = (middle, high) if found > gain else (low, middle)
    return high


def detectable_difference(
    candidate: Mapping[str, float],
    incumbent: Mapping[str, float],
    *,
    clusters: Mapping[str, str] | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """The smallest true difference that a two-sided test on cases like these finds with `power`; at most 1.

    That is `detectable_gain` with the noise that was seen: of the mean square of the differences, what the difference
    itself does not explain. Where clusters widen the error, n shrinks by the design effect (Kish 1965): the ratio of
    the cluster-robust to the simple variance of the mean. Raises ValueError as `paired_comparison` does.
    """
    differences, names = _paired(candidate, incumbent, clusters)
    n, mean = len(names), float(differences.mean())
    simple = _standard_error(differences, list(map(str, range(n))))
    robust = _standard_error(differences, names)
    if not math.isfinite(robust):
        return 1.0
    effect = max(1.0, (robust / simple) ** 2) if simple > _TINY else 1.0
    noise = max(0.0, float((differences**2).mean()) - abs(mean))
    return detectable_gain(max(1, round(n / effect)), alpha / 2, baseline=0.5, power=power, discordance=noise)


def repeatability(samples: Mapping[str, Sequence[float]]) -> Repeatability | None:
    """How far the samples of each case agree; None for fewer than two cases with two samples.

    One-way analysis of variance with cases as groups; `share_within` is 1 - ICC(1) (Shrout & Fleiss 1979), with the
    mean group size of unequal groups (Donner 1986). A variance between cases that comes out negative counts as 0.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in samples.values() if len(values) > 1]
    if len(groups) < 2:
        return None
    sizes = np.array([len(group) for group in groups], dtype=np.float64)
    means = np.array([group.mean() for group in groups])
    total, m = float(sizes.sum()), len(groups)
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / (total - m)
    spread = float((sizes * (means - float((sizes * means).sum()) / total) ** 2).sum()) / (m - 1)
    size = (total - float((sizes**2).sum()) / total) / (m - 1)
    between = max(0.0, (spread - within) / size)
    unsteady = sum(float(np.ptp(group)) > _TINY for group in groups)
    share = within / (within + between) if within + between > _TINY else None
    return Repeatability(m, unsteady, math.sqrt(within), math.sqrt(between), share)


def forecast_sum(values: Sequence[float], rest: int, *, confidence: float = 0.95) -> Forecast:
    """The sum of `values`, which are seen, and of `rest` more of their kind: the t prediction interval of that sum.

    It never lies below what is seen, since nothing that is counted here is negative. One value says nothing of the
    spread. Raises ValueError for no values.
    """
    found = np.asarray(values, dtype=np.float64)
    n = len(found)
    if n == 0:
        raise ValueError("no values")
    seen, mean = float(found.sum()), float(found.mean())
    expected = seen + rest * mean
    if rest == 0:
        return Forecast(expected, expected, expected)
    if n == 1:
        return Forecast(expected, None, None)
    error = float(found.std(ddof=1)) * rest * math.sqrt(1 / n + 1 / rest)
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * error
    return Forecast(expected, max(seen, expected - half), expected + half)


def nearest_rank(values: Sequence[float], share: float) -> float | None:
    """The smallest of the values that at least `share` of them do not exceed; None without any."""
    return float(np.quantile(values, share, method="inverted_cdf")) if len(values) else None
