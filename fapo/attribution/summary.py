"""Blames added up: by step, by level, and which level to work at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fapo.attribution.blame import Attribution, Blame, Confidence, Share, StepBlame
from fapo.records import LEVELS, Level

_EXAMPLES = 5
_LARGER_PART = 0.5
_ORDER: tuple[Confidence, ...] = ("high", "medium", "low")


def summarise(blames: Sequence[Blame], *, n: int, undecided: int, mean: float | None) -> Attribution:
    """Add up the blames of `n` decided records with mean score `mean`."""
    total = sum(blame.loss for blame in blames)
    by_level = share_by_level(blames)
    level, why = recommend(by_level, n=n, lost=total)
    return Attribution(
        n=n,
        undecided=undecided,
        mean=mean,
        lost=total / n if n else 0.0,
        blames=tuple(blames),
        by_step=_by_step(blames, total),
        by_level=by_level,
        recommended_level=level,
        why=why,
        ceilings=_ceilings(blames, n=n, mean=mean),
    )


def _ceilings(blames: Sequence[Blame], *, n: int, mean: float | None) -> dict[Level, float]:
    """What the mean would be if a level won every loss that it can address, first or not."""
    if mean is None:
        return {}
    return {level: mean + sum(blame.loss for blame in blames if level in blame.levels) / n for level in LEVELS}


def share_by_level(blames: Sequence[Blame]) -> dict[Share, float]:
    """The lost score by the level that each blame puts first."""
    total = sum(blame.loss for blame in blames)
    shares: dict[Share, float] = {**dict.fromkeys(LEVELS, 0.0), "unidentified": 0.0}
    for blame in blames:
        shares[blame.levels[0] if blame.levels else "unidentified"] += blame.loss / total if total else 0.0
    return shares


def _by_step(blames: Sequence[Blame], total: float) -> tuple[StepBlame, ...]:
    groups: defaultdict[tuple[object, ...], list[Blame]] = defaultdict(list)
    for blame in blames:
        groups[blame.step, blame.category, blame.levels[:1]].append(blame)
    rows = [_row(group, total) for group in groups.values()]
    return tuple(sorted(rows, key=lambda row: (-row.share, row.step or "", row.category)))


def _row(group: list[Blame], total: float) -> StepBlame:
    """One row; its confidence is that of most of its loss, its evidence and levels those of the gravest such blame."""
    weight = {word: sum(blame.loss for blame in group if blame.confidence == word) for word in _ORDER}
    confidence = max(_ORDER, key=lambda word: weight[word])
    ranked = sorted(group, key=lambda blame: (blame.confidence != confidence, -blame.loss))
    first = ranked[0]
    cases = list(dict.fromkeys(blame.case_id for blame in ranked))
    return StepBlame(
        step=first.step,
        category=first.category,
        levels=first.levels,
        cases=len(cases),
        share=sum(blame.loss for blame in group) / total if total else 0.0,
        confidence=confidence,
        evidence=first.evidence,
        examples=tuple(cases[:_EXAMPLES]),
    )


def recommend(shares: dict[Share, float], *, n: int, lost: float) -> tuple[Level, str]:
    """The smallest level such that not more than half of the lost score lies outside of it and the smaller
    ones.

    Loss that is unidentified speaks for no level, so it never argues for a larger one.
    """
    if not n or not lost:
        return "prompt", "nothing was lost" if n else "no case is decided"
    outside = 0.0
    level: Level = LEVELS[0]
    for number, candidate in enumerate(LEVELS):
        outside = sum(shares[larger] for larger in LEVELS[number + 1 :])
        level = candidate
        if outside <= _LARGER_PART:
            break
    named = [f"{shares[name]:.0%} {name}" for name in LEVELS]
    named.append(f"{shares['unidentified']:.0%} unidentified")
    numbers = f"of {lost:.1f} points lost over {n} cases: {', '.join(named)}"
    if level == LEVELS[0]:
        return (
            level,
            f"{outside:.0%} of the lost score lies outside of prompts, not more than half ({numbers})",
        )
    smaller = "prompts" if level == "parameter" else "prompts and parameters"
    beyond = sum(shares[name] for name in LEVELS[LEVELS.index(level) :])
    return level, f"{beyond:.0%} of the lost score lies outside of {smaller}, more than half ({numbers})"
