"""Two evaluations case by case: what the paired test says, and which cases were won and lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fapo.errors import FapoError
from fapo.evaluation.compare import Arm, Comparison, compare_arms
from fapo.evaluation.evaluate import load_manifest
from fapo.evaluation.request import read_cases
from fapo.ui.trace_index import TraceIndex

Outcome = Literal["won", "lost", "same", "open"]
_KEPT = 8


@dataclass(frozen=True, slots=True)
class CaseChange:
    """One case: its mean score on both sides, None where it is undecided or was not run. `won` and `lost` are B's."""

    case_id: str
    a: float | None
    b: float | None

    @property
    def outcome(self) -> Outcome:
        if self.a is None or self.b is None:
            return "open"
        return "same" if abs(self.b - self.a) < 1e-12 else "won" if self.b > self.a else "lost"

    @property
    def size(self) -> float:
        return 0.0 if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the paired test says; None where the two cannot be compared as a whole, for what `problem` says."""

    comparison: Comparison | None
    problem: str = ""


class Versus:
    """B beside A, both as far as they were indexed. The largest changes come first in `changes`."""

    def __init__(self, a: Arm, b: Arm) -> None:
        means = a.means, b.means
        samples = (case for case, _ in (*a.samples, *b.samples))
        known = dict.fromkeys([*(a.cases or {}), *(b.cases or {}), *samples])
        changes = [CaseChange(case, means[0].get(case), means[1].get(case)) for case in known]
        self.changes = sorted(changes, key=lambda change: -abs(change.size))
        self.counts = Counter(change.outcome for change in changes)
        self._arms = a, b
        self._verdict: Verdict | None = None

    def verdict(self) -> Verdict:
        """The paired test over all cases."""
        if self._verdict is None:
            try:
                self._verdict = Verdict(compare_arms(*self._arms))
            except FapoError as error:
                self._verdict = Verdict(None, str(error))
        return self._verdict

    def chosen(self, outcome: str, text: str) -> list[CaseChange]:
        """Those of one outcome, or of `all`, with `text` in the case's id."""
        part = text.casefold()
        return [c for c in self.changes if outcome in ("all", c.outcome) and part in c.case_id.casefold()]


class Comparer:
    """Compares evaluations as they are indexed, and remembers the last ones."""

    def __init__(self, index: TraceIndex) -> None:
        self._index = index
        self._known: dict[tuple[object, ...], Versus] = {}

    def compare(self, a: Path, b: Path) -> Versus:
        """B beside A, both indexed as far as they are."""
        key = tuple((str(each), self._index.update(each, 2.0).indexed) for each in (a, b))
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = Versus(self._arm(a), self._arm(b))
        return self._known[key]

    def _arm(self, directory: Path) -> Arm:
        samples = self._index.samples(self._index.file_of(directory))
        return Arm(directory, load_manifest(directory), samples, read_cases(directory))
