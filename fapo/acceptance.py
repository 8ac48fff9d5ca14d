"""When a variant is accepted: how a search spends its error over the looks at validation, and when a look is decided.

A rule gives each look the level that its p value must reach, by what became of the looks before. Rules and races work
on arrays, one entry for each of many searches at once, so that `bench/acceptance.py` simulates the code that decides.
docs/statistics.md has the error rates and the power that were found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fapo.config import Acceptance

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
BLOCKS = 5
SMALLEST_BLOCK = 20
CERTAIN = 0.98
"""Chance, if the variant is no better, that it will still pass after all cases: then it is accepted at once."""
HOPELESS = 0.05
"""Chance to pass after all cases, for the largest gain that is still likely: below it the variant is rejected."""
LIKELY = 0.9


class Rule(Protocol):
    """How much error each look may use. All arrays hold one entry for each search."""

    def level(self) -> Values:
        """What the p value of the next look must not exceed."""
        ...

    def record(self, accepted: Flags) -> None:
        """Take down how a look ended."""
        ...


class Strict:
    """The chance to accept any useless variant is at most `alpha`, however the looks depend on each other.

    Online fallback (Tian & Ramdas 2021, "Online control of the familywise error rate"): each of `planned` looks has an
    equal share of alpha, and a look after an acceptance has that one's level on top. Without acceptances that is
    Bonferroni's rule.
    """

    def __init__(self, alpha: float, planned: int, searches: int = 1) -> None:
        self._share = alpha / planned
        self._inherited = np.zeros(searches)

    def level(self) -> Values:
        return self._share + self._inherited

    def record(self, accepted: Flags) -> None:
        self._inherited = np.where(accepted, self.level(), 0.0)


class Investing:
    """Of the accepted variants, a share of at most `alpha` is useless, on average over searches.

    LORD++ (Ramdas, Yang, Wainwright & Jordan 2017, "Online control of the false discovery rate with decaying memory")
    with equal shares over `planned` looks: the search begins with alpha, spends equal parts of it, and each acceptance
    but the first earns alpha again for the looks that follow. A search in which every variant is useless accepts one
    with a chance of at most alpha.
    """

    def __init__(self, alpha: float, planned: int, searches: int = 1) -> None:
        self._share = alpha / planned
        self._accepted = np.zeros(searches)

    def level(self) -> Values:
        return self._share * np.maximum(1.0, self._accepted)

    def record(self, accepted: Flags) -> None:
        self._accepted = self._accepted + accepted


class Mean:
    """A higher mean is enough: the paper's rule. It promises nothing."""

    def __init__(self, searches: int = 1) -> None:
        self._searches = searches

    def level(self) -> Values:
        return np.full(self._searches, 0.5 / CERTAIN)

    def record(self, accepted: Flags) -> None:
        pass


def make_rule(accept: Acceptance, alpha: float, planned: int, *, searches: int = 1) -> Rule:
    """The rule by its name, for searches of at most `planned` looks."""
    match accept:
        case "strict":
            return Strict(alpha, planned, searches)
        case "investing":
            return Investing(alpha, planned, searches)
        case "mean":
            return Mean(searches)


def next_level(accept: Acceptance, alpha: float, planned: int, decided: Iterable[bool]) -> float:
    """What the next look's p value must not exceed in one search, after looks that ended as `decided` says.

    Raises ValueError for a look beyond the plan, for which no error is left.
    """
    rule = make_rule(accept, alpha, planned)
    looks = 0
    for accepted in decided:
        rule.record(np.array([accepted]))
        looks += 1
    if looks >= planned:
        raise ValueError(f"look {looks + 1} of {planned}")
    return float(rule.level()[0])


def blocks(n: int) -> tuple[int, ...]:
    """After how many of `n` units a look may be decided; the last is `n`. Blocks are equal but for rounding."""
    count = max(1, min(BLOCKS, n // SMALLEST_BLOCK))
    return tuple(round(n * block / count) for block in range(1, count + 1))


def final_level(level: Values) -> Values:
    """What p must not exceed after all units, given what a look may use: stopping early to accept has its price."""
    return level * CERTAIN


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look has shown so far: how many units were run, the sum of their differences (candidate minus incumbent),
    the sum of the squares of these, and how many units differ at all."""

    units: int
    total: Values
    squares: Values
    changed: Values


def standing(seen: Seen, n: int, level: Values, *, least: float = 0.0) -> NDArray[np.int8]:
    """1 where a look is as good as passed before all `n` units were run, -1 where it is as good as failed, else 0.

    `level` is what the look may use; a variant must also come to a total of `least`. Stochastic curtailment (Lan, Simon
    & Halperin 1982), with the sum of what is to come taken as normal, of the spread seen so far. A useless variant that
    is CERTAIN to pass passes at once, which makes the error at most level = `final_level` / CERTAIN. A variant that is
    HOPELESS, even if its gain is as large as is still LIKELY, fails at once, which costs power and no error. Few units
    that differ prove nothing: k of them, all better, have p = 2^-k, whatever the normal distribution says.
    """
    final = np.minimum(final_level(level), 0.5)
    size = np.where(seen.changed > 0, np.sqrt(seen.squares / np.maximum(seen.changed, 1)), 1.0)
    spread = (seen.squares + size**2) / (seen.units + 2)
    rest = n - seen.units
    needed = stats.norm.isf(final) * np.sqrt(seen.squares + rest * spread)
    needed = np.maximum(np.maximum(needed, -np.log2(final) * size), least)
    error = np.sqrt(rest * spread)
    gain = seen.total / seen.units + stats.norm.ppf(LIKELY) * np.sqrt(spread / seen.units)
    if_useless = stats.norm.cdf((seen.total - needed) / error)
    at_best = stats.norm.cdf((seen.total + gain * rest - needed) / error)
    passed = (if_useless >= CERTAIN) & (seen.total > 0)
    return np.where(passed, 1, np.where(at_best < HOPELESS, -1, 0)).astype(np.int8)
