"""How often nights raise a false alarm, and how soon they see a fall, by simulation.

`python bench/drift.py [--json] [--runs N]` plays schedules of 100 nights. Each night compares its scores on the same
validation cases with those of one recorded baseline, by McNemar's exact test, one-sided: what `fapo ci` does with 0/1
scores of independent cases. The levels of the nights are fapo's own (`fapo/store/testlock.py`), beside others.

Some cases are unstable: right half of the time, anew each night. With the share d of discordant pairs, 2 d of the cases
are. All nights share the baseline's sample, lucky or not. After a fall a share of the stable cases is wrong for good.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fapo.store.testlock import NIGHTS, TestLock

Values = NDArray[np.float64]

CASES = (100, 300, 1000)
DISCORDANT = (0.05, 0.1, 0.2)
FALLS = (0.03, 0.05, 0.1)
ALPHA = TestLock().alpha


def equal_shares(nights: int) -> Values:
    """fapo's: each planned night may use as much as any other (Lan & DeMets 1983, the linear spending function)."""
    return np.full(nights, TestLock().night_share)


RULES: dict[str, Callable[[int], Values]] = {
    "equal shares": equal_shares,
    "endless series": lambda nights: np.array([6 * ALPHA / (np.pi * night) ** 2 for night in range(1, nights + 1)]),
    "5 % each night": lambda nights: np.full(nights, ALPHA),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What a rule did. Without a `fall`, `alarm` is the share of schedules with a false one, `high` its upper bound.

    With one, which happens before night `since`, `first`, `week` and `month` are the shares of schedules that see it in
    the first night, within 7 and within 30 nights.
    """

    rule: str
    cases: int
    discordant: float
    fall: float
    since: int
    alarm: float | None
    high: float | None
    first: float | None
    week: float | None
    month: float | None


def p_values(cases: int, discordant: float, fall: float, *, since: int, runs: int, seed: int = 0) -> Values:
    """One-sided p of each night of each schedule: shape (runs, NIGHTS)."""
    rng = np.random.default_rng(seed)
    unstable = round(2 * discordant * cases)
    right = rng.binomial(unstable, 0.5, runs)[:, None]
    lost = rng.binomial(np.broadcast_to(right, (runs, NIGHTS)), 0.5)
    won = rng.binomial(np.broadcast_to(unstable - right, (runs, NIGHTS)), 0.5)
    fallen = np.where(np.arange(1, NIGHTS + 1) >= since, round(fall * cases), 0)
    lost = lost + fallen
    p: Values = np.where(won + lost > 0, stats.binom.sf(lost - 1, won + lost, 0.5), 1.0)
    return p


def simulate(rule: str, cases: int, discordant: float, fall: float, *, since: int = 1, runs: int = 10_000) -> Row:
    """Play `runs` schedules under a rule."""
    alarms = p_values(cases, discordant, fall, since=since, runs=runs) <= RULES[rule](NIGHTS)
    if not fall:
        wrong = int(alarms.any(axis=1).sum())
        high = float(stats.beta.ppf(0.95, wrong + 1, runs - wrong)) if wrong < runs else 1.0
        return Row(rule, cases, discordant, fall, since, wrong / runs, high, None, None, None)
    after = alarms[:, since - 1 :]
    seen = (float(after[:, :nights].any(axis=1).mean()) for nights in (1, 7, 30))
    return Row(rule, cases, discordant, fall, since, None, None, *seen)


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| rule | cases | discordant | fall | from night | false alarm | ≤ | first night | week | month |",
             "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for row in rows:
        shares = (row.alarm, row.high, row.first, row.week, row.month)
        cells = ["" if share is None else f"{share:.1%}" for share in shares]
        fall = f"{100 * row.fall:.0f}" if row.fall else "none"
        head = (row.rule, str(row.cases), f"{row.discordant:.0%}", fall, str(row.since))
        lines.append("| " + " | ".join([*head, *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--runs", type=int, default=10_000, help="simulated schedules a row")
    options = parser.parse_args()
    rows = [simulate(rule, n, d, 0.0, runs=options.runs) for rule in RULES for n in CASES for d in DISCORDANT]
    rows += [
        simulate(rule, n, 0.1, fall, since=since, runs=options.runs)
        for rule in RULES for n in CASES for fall in FALLS for since in (1, 61)
    ]  # fmt: skip
    print(json.dumps([asdict(row) for row in rows], indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
