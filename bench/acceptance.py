"""What rules of acceptance promise and deliver: error, power and calls saved, by simulation.

`python bench/acceptance.py [--rows | --json] [--searches N] [--looks N]` plays whole searches: each submits `looks`
variants, one after the other, against the incumbent of the moment, on one validation split; an accepted variant is the
incumbent from then on. The rules and the race are fapo's own (`fapo/acceptance.py`), beside rules that others use.

Some cases are unstable: whoever runs them gets them right half of the time, anew for each variant. A useless variant
differs from the incumbent only there, and by luck: with the share d of discordant pairs, 2 d of the cases are unstable.
A better variant leaves a part of the unstable cases as they were and gets right a share `gain` of the others, so that d
of its cases differ, too. All tries are compared with the one sample that was drawn of their incumbent, lucky or not; an
accepted variant brings its own sample along, which was lucky as a rule.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fapo.acceptance import Flags, Rule, Seen, Values, blocks, final_level, make_rule, standing

Counts = NDArray[np.int64]

CASES = (100, 300, 1000)
DISCORDANT = (0.1, 0.15, 0.2, 0.3)
GAINS = (0.0, 0.03, 0.05, 0.1)
BETTER = 0.2
"""The share of submitted variants that are truly better, in searches that have any."""


class Fixed:
    """Each look is tested at the same level."""

    def __init__(self, level: float, searches: int) -> None:
        self._level = np.full(searches, level)

    def level(self) -> Values:
        return self._level

    def record(self, accepted: Flags) -> None:
        pass


class Decreasing:
    """Alpha spending over an endless search: look t has 6 alpha / (pi t)^2."""

    def __init__(self, alpha: float, searches: int) -> None:
        self._alpha, self._look, self._searches = alpha, 1, searches

    def level(self) -> Values:
        return np.full(self._searches, 6 * self._alpha / (np.pi * self._look) ** 2)

    def record(self, accepted: Flags) -> None:
        self._look += 1


def _ours(accept: Any, alpha: float) -> Callable[[int, int], Rule]:
    return lambda looks, searches: make_rule(accept, alpha, looks, searches=searches)


RULES: dict[str, Callable[[int, int], Rule]] = {
    "mean": _ours("mean", 0.0),
    "ladder": lambda _, searches: Fixed(float(stats.norm.sf(1.0)), searches),  # a step of one standard error
    "fixed 5 %": lambda _, searches: Fixed(0.05, searches),
    "spending 5 %": lambda _, searches: Decreasing(0.05, searches),
    "bonferroni 5 %": lambda looks, searches: Fixed(0.05 / looks, searches),
    "strict 5 %": _ours("strict", 0.05),
    "investing 5 %": _ours("investing", 0.05),
    "investing 10 %": _ours("investing", 0.1),
    "investing 20 %": _ours("investing", 0.2),
}


@dataclass(frozen=True, slots=True)
class World:
    """What a search meets. `shared` says that all tries are compared with one sample of their incumbent."""

    cases: int
    discordant: float
    gain: float
    looks: int
    raced: bool
    shared: bool


@dataclass(frozen=True, slots=True)
class Row:
    """What a rule did in a world.

    `any_useless` of the searches accepted a useless variant; `useless_share` is the mean share of useless ones among
    the accepted (0 where none was); `_high` are upper 95 % bounds over the simulation. `power` is the share of better
    variants that were accepted, None where there were none; `saved` that of the calls.
    """

    rule: str
    cases: int
    discordant: float
    gain: float
    looks: int
    raced: bool
    shared: bool
    any_useless: float
    any_useless_high: float
    useless_share: float
    useless_share_high: float
    power: float | None
    saved: float


@dataclass(slots=True)
class _Split:
    """How often the incumbents of many searches were right on the unstable cases of one split."""

    world: World
    rng: np.random.Generator
    unstable: int
    right: Counts

    @classmethod
    def draw(cls, world: World, searches: int, rng: np.random.Generator) -> _Split:
        unstable = round(2 * world.discordant * world.cases)
        return cls(world, rng, unstable, rng.binomial(unstable, 0.5, searches))

    def redraw(self) -> None:
        self.right = self.rng.binomial(self.unstable, 0.5, len(self.right))

    def sizes(self) -> Counts:
        """Unstable cases that the incumbent has right, wrong, and stable cases: shape (searches, 3)."""
        stable = np.full(len(self.right), self.world.cases - self.unstable)
        return np.stack([self.right, self.unstable - self.right, stable], axis=1)

    def take(self, left: Counts, size: int) -> Counts:
        """A block of `size` cases drawn from those that are `left`, by kind."""
        right = self.rng.hypergeometric(left[:, 0], left[:, 1] + left[:, 2], size)
        wrong = self.rng.hypergeometric(left[:, 1], left[:, 2], size - right)
        return np.stack([right, wrong, size - right - wrong], axis=1)

    def play(self, block: Counts, better: Flags) -> tuple[Counts, Counts, Counts]:
        """Cases of a block that a variant wins by luck, wins by merit, and loses."""
        world = self.world
        redrawn = np.where(better, max(0.0, 1 - world.gain / world.discordant), 1.0)
        merit = np.where(better, min(1.0, world.gain * world.cases / (world.cases - self.unstable)), 0.0)
        lost = self.rng.binomial(block[:, 0], redrawn / 2)
        return self.rng.binomial(block[:, 1], redrawn / 2), self.rng.binomial(block[:, 2], merit), lost


def look(split: _Split, better: Flags, level: Values) -> tuple[Flags, Values]:
    """One submission in each search: whether it is accepted, and how many cases that took."""
    world = split.world
    left, seen = split.sizes(), 0
    lucky, won, lost = (np.zeros(len(level), dtype=np.int64) for _ in range(3))
    state = np.zeros(len(level), dtype=np.int8)
    used = np.full(len(level), float(world.cases))
    for end in blocks(world.cases) if world.raced else (world.cases,):
        block = split.take(left, end - seen) if end < world.cases else left
        left, seen = left - block, end
        by_luck, by_merit, lost_now = split.play(block, better)
        lucky, won, lost = lucky + by_luck, won + by_luck + by_merit, lost + lost_now
        if end < world.cases:
            changed = (won + lost).astype(np.float64)
            so_far = Seen(end, (won - lost).astype(np.float64), changed, changed)
            now = np.where(state == 0, standing(so_far, world.cases, level), 0)
            used[now != 0] = end
            state = np.where(state == 0, now, state).astype(np.int8)
    p = np.where(won + lost > 0, stats.binom.sf(won - 1, won + lost, 0.5), 1.0)
    passed = (won > lost) & (p <= (final_level(level) if world.raced else level))
    accepted = np.where(state == 0, passed, state == 1)
    split.right = np.where(accepted, split.right + lucky - lost, split.right)
    return accepted, used


def simulate(name: str, world: World, *, searches: int, seed: int = 0) -> Row:
    """Play `searches` searches under a rule."""
    rng = np.random.default_rng(seed)
    rule = RULES[name](world.looks, searches)
    split = _Split.draw(world, searches, rng)
    useless, found, offered = (np.zeros(searches) for _ in range(3))
    used = 0.0
    for _ in range(world.looks):
        if not world.shared:
            split.redraw()
        better = rng.random(searches) < BETTER if world.gain else np.zeros(searches, dtype=np.bool_)
        accepted, cases = look(split, better, rule.level())
        rule.record(accepted)
        useless, found, offered = useless + (accepted & ~better), found + (accepted & better), offered + better
        used += float(cases.mean())
    share = useless / np.maximum(useless + found, 1)
    wrong = int((useless > 0).sum())
    bound = float(stats.beta.ppf(0.95, wrong + 1, searches - wrong)) if wrong < searches else 1.0
    share_high = float(share.mean() + stats.norm.ppf(0.95) * share.std() / np.sqrt(searches))
    power = float(found.sum() / offered.sum()) if world.gain else None
    saved = 1 - used / world.looks / world.cases
    return Row(name, **asdict(world), any_useless=wrong / searches, any_useless_high=bound,
               useless_share=float(share.mean()), useless_share_high=share_high, power=power, saved=saved)  # fmt: skip


def worlds(looks: int) -> list[World]:
    """The grid: every number of cases, discordance and gain that fit, raced; the null also with a sample a try."""
    grid = [World(n, d, gain, looks, True, True) for n in CASES for d in DISCORDANT for gain in GAINS if gain <= d]
    whole = [World(n, d, gain, looks, False, True) for n in CASES for d in (0.15,) for gain in (0.0, 0.05)]
    apart = [World(n, d, 0.0, looks, True, False) for n in CASES for d in DISCORDANT]
    return grid + whole + apart


SUMMARY = (
    "rule", "any useless ≤", "tries apart ≤", "useless share ≤",
    "+3 / +5 / +10, 100 cases", "300 cases", "1,000 cases", "saved, all useless", "saved",
)  # fmt: skip
SHOWN_DISCORDANT = 0.15
SHOWN_CASES = 300


def summary(rows: Sequence[Row]) -> str:
    """The table of docs/statistics.md: worst error bounds over the grid, and power at 15 % of pairs discordant."""
    lines = [f"| {' | '.join(SUMMARY)} |", "|---|--:|--:|--:|---|---|---|--:|--:|"]
    for name in dict.fromkeys(row.rule for row in rows):
        own = [row for row in rows if row.rule == name and row.raced]
        null, better = [row for row in own if not row.gain], [row for row in own if row.gain]
        typical = [row for row in own if row.discordant == SHOWN_DISCORDANT and row.shared]
        errors = (
            max(row.any_useless_high for row in null if row.shared),
            max(row.any_useless_high for row in null if not row.shared),
            max(row.useless_share_high for row in better),
        )
        powers = (" / ".join(f"{row.power:.0%}" for row in typical if row.cases == cases and row.power is not None)
                  for cases in CASES)  # fmt: skip
        saved = [
            next(row.saved for row in typical if (row.cases, row.gain) == (SHOWN_CASES, gain)) for gain in (0, 0.05)
        ]
        cells = (name, *(f"{min(error, 1):.1%}" for error in errors), *powers, *(f"{each:.0%}" for each in saved))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def table(rows: Sequence[Row]) -> str:
    """Each row of the grid, in Markdown."""
    names = ("rule", "cases", "discordant", "gain", "raced", "shared", "any useless", "≤", "useless share", "≤",
             "power", "saved")  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|---|--:|--:|--:|---|---|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        power = "" if row.power is None else f"{row.power:.0%}"
        cells = (row.rule, row.cases, f"{row.discordant:.0%}", f"{100 * row.gain:+.0f}", _yes(row.raced),
                 _yes(row.shared), f"{row.any_useless:.1%}", f"{row.any_useless_high:.1%}", f"{row.useless_share:.1%}",
                 f"{row.useless_share_high:.1%}", power, f"{row.saved:.0%}")  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _simulate(job: tuple[str, World, int]) -> Row:
    name, world, searches = job
    return simulate(name, world, searches=searches)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--rows", action="store_true", help="print each row of the grid, not the summary")
    parser.add_argument("--searches", type=int, default=10_000, help="simulated searches a row")
    parser.add_argument("--looks", type=int, default=50, help="variants submitted in each search")
    parser.add_argument("--rules", default=",".join(RULES), help="names, separated by commas")
    options = parser.parse_args()
    jobs = [(name, world, options.searches) for world in worlds(options.looks) for name in options.rules.split(",")]
    rows = []
    with ProcessPoolExecutor() as pool:
        for number, row in enumerate(pool.map(_simulate, jobs), 1):
            rows.append(row)
            print(f"\r{number} of {len(jobs)} rows", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    shown = table(rows) if options.rows else summary(rows)
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else shown)


if __name__ == "__main__":
    main()
