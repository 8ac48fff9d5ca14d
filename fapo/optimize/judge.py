"""The verdict on a variant: a paired one-sided test on validation, run block by block until it is settled."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fapo.acceptance import Seen, blocks, final_level, standing
from fapo.config import OptimizeConfig
from fapo.optimize.events import Decided
from fapo.records import Usage
from fapo.stats import PairedComparison, lower_bound, paired_comparison

NO_WORSE_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant on the cases that both have run: values by case, what they take uncached, and its size in bytes."""

    values: Mapping[str, float]
    demand: Usage
    size: int


@dataclass(frozen=True, slots=True)
class Question:
    """What validation, of `of` cases, is asked about a variant: at which level, and what loss was tolerated so far."""

    variant: str
    level: float
    tolerated: float
    config: OptimizeConfig
    clusters: Mapping[str, str] | None
    of: int

    @property
    def units(self) -> int:
        """What is independent: cases, or clusters of them."""
        return len(set(self.clusters.values())) if self.clusters else self.of


def race_order(cases: Iterable[str], clusters: Mapping[str, str] | None, *, seed: str) -> tuple[tuple[str, ...], ...]:
    """The cases in blocks, drawn anew for each seed; what shares a cluster stays together."""
    units: dict[str, list[str]] = {}
    for case in sorted(cases):
        units.setdefault(clusters[case] if clusters else case, []).append(case)
    names = list(units)
    random.Random(seed).shuffle(names)  # noqa: S311 - nothing here is a secret
    ends = blocks(len(names))
    chosen = (names[start:end] for start, end in zip((0, *ends[:-1]), ends, strict=True))
    return tuple(tuple(case for name in block for case in units[name]) for block in chosen)


def settled(question: Question, candidate: Arm, incumbent: Arm) -> Literal["accept", "reject"] | None:
    """How the race will end, once that is as good as certain after the cases so far; None while it is open."""
    found = differences(candidate.values, incumbent.values, question.clusters)
    sums = (found.sum(), (found**2).sum(), np.count_nonzero(found))
    seen = Seen(len(found), *(np.array([float(each)]) for each in sums))
    least = question.config.min_gain * question.of
    state = standing(seen, question.units, np.array([question.level]), least=least)[0]
    if state < 0 and question.config.tolerance > question.tolerated and _simpler(candidate, incumbent):
        return None
    if state == 0:
        return None
    return "accept" if state > 0 else "reject"


def differences(
    candidate: Mapping[str, float], incumbent: Mapping[str, float], clusters: Mapping[str, str] | None
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The summed difference of each unit: a case, or a cluster of them."""
    sums: dict[str, float] = {}
    for case, value in candidate.items():
        unit = clusters[case] if clusters else case
        sums[unit] = sums.get(unit, 0.0) + value - incumbent[case]
    return np.array(list(sums.values()))


def judge(
    question: Question, candidate: Arm, incumbent: Arm, *, early: Literal["accept", "reject"] | None = None
) -> Decided:
    """The verdict, from all cases or from those after which the race was settled.

    A variant is accepted for a gain that is larger than chance explains; or, where it is simpler, for not differing at
    all, or for being no worse than what is still tolerated.
    """
    found = paired_comparison(candidate.values, incumbent.values, clusters=question.clusters)
    level = float(final_level(np.array([question.level]))[0])
    figures = f"{_points(found.difference)} ({found.won} cases better, {found.lost} worse, {found.tied} equal)"
    if early:
        figures += f", settled after {found.n} of {question.of} cases"
    passed = early == "accept" or (early is None and found.difference > 0 and found.p_greater <= level)
    sign = "≤" if found.p_greater <= level else ">"
    reason = f"{figures}, p = {found.p_greater:.2g} {sign} {level:.2g}"
    decided = _Verdict(question, found, level, reason)
    if passed and found.difference < question.config.min_gain:
        return decided.rejected(f"less than the least gain of {_points(question.config.min_gain)}")
    if passed and (excess := _not_worth_it(question.config, candidate, incumbent, found.difference)):
        return decided.rejected(excess)
    if passed:
        return decided.accepted("gain", "better than chance explains")
    if early is None and _simpler(candidate, incumbent):
        return _simpler_verdict(decided, candidate, incumbent)
    return decided.rejected("no more than chance explains")


@dataclass(frozen=True, slots=True)
class _Verdict:
    question: Question
    found: PairedComparison
    level: float
    reason: str

    def accepted(self, by: Literal["gain", "tie", "no_worse"], why: str, *, margin: float = 0.0) -> Decided:
        reason = self.reason if by == "gain" else f"{self.reason}; {why}"
        return Decided(self.question.variant, "accepted", reason, f"{self._about()}: {why}", self.found.difference,
                       self.found.p_greater, self.level, by, margin, self.found.n)  # fmt: skip

    def rejected(self, why: str) -> Decided:
        reason = self.reason if why.startswith("no more") else f"{self.reason}; {why}"
        return Decided(self.question.variant, "rejected", reason, f"{self._about()}: {why}", self.found.difference,
                       self.found.p_greater, self.level, n=self.found.n)  # fmt: skip

    def _about(self) -> str:
        return f"about {100 * round(self.found.difference, 2):+.0f} points"


def _simpler_verdict(decided: _Verdict, candidate: Arm, incumbent: Arm) -> Decided:
    found, question = decided.found, decided.question
    if found.won == found.lost == 0:
        return decided.accepted("tie", "nothing differs, and it is simpler")
    margin = (question.config.tolerance - question.tolerated) / 2
    if margin <= 0:
        return decided.rejected("no more than chance explains")
    low = lower_bound(candidate.values, incumbent.values, clusters=question.clusters, confidence=NO_WORSE_CONFIDENCE)
    if low >= -margin:
        return decided.accepted("no_worse", f"simpler, and at most {100 * margin:.1f} points worse", margin=margin)
    return decided.rejected("no more than chance explains")


def _simpler(candidate: Arm, incumbent: Arm) -> bool:
    """Smaller, and not dearer; or cheaper, and not larger."""
    ours, theirs = price(candidate.demand), price(incumbent.demand)
    if ours is None or theirs is None:
        return False
    return (candidate.size < incumbent.size and ours <= theirs) or (candidate.size <= incumbent.size and ours < theirs)


def _not_worth_it(config: OptimizeConfig, candidate: Arm, incumbent: Arm, gain: float) -> str | None:
    if config.max_cost_growth is None or gain >= config.worth:
        return None
    ours, theirs = price(candidate.demand), price(incumbent.demand)
    if ours is None or theirs is None or not theirs:
        return None
    growth = ours / theirs - 1
    if growth <= config.max_cost_growth:
        return None
    return f"costs {growth:.0%} more for less than {_points(config.worth)}"


def price(demand: Usage) -> float | None:
    """What cases take, by the best measure there is: dollars, else tokens where calls are free; None if unknown."""
    if demand.cost_usd is None or demand.cost_usd > 0:
        return demand.cost_usd
    if demand.input_tokens is None or demand.output_tokens is None:
        return None
    return float(demand.input_tokens + demand.output_tokens)


def change_words(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> frozenset[str]:
    """The words that a change adds or removes, by which two changes are compared."""
    words: set[str] = set()
    for path in before.keys() | after.keys():
        old, new = (side.get(path, b"").decode("utf-8", errors="replace") for side in (before, after))
        if old != new:
            words |= {f"{path} {word}" for word in set(old.split()) ^ set(new.split())}
    return frozenset(words)


def novelty(change: frozenset[str], earlier: Sequence[frozenset[str]]) -> float:
    """1 minus the largest Jaccard similarity of a change to one that was tried before; 1 for the first."""
    return 1 - max((len(change & other) / max(len(change | other), 1) for other in earlier), default=0.0)


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"
