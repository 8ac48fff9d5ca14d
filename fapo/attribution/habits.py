"""What is usual in solved cases, and therefore explains no failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fapo.attribution.blame import Confidence
from fapo.attribution.faults import output_fault
from fapo.attribution.gold import predicted_text, read_gold
from fapo.attribution.text import holds
from fapo.attribution.view import CaseView

_USUAL = 1 / 3
_ENOUGH = 5
SAMPLE = 60
"""Solved cases looked at: enough for shares to within some 13 points, and a bound on the time."""


@dataclass(frozen=True, slots=True)
class Habits:
    """`usual`: (step, category) pairs of output faults that at least a third of the solved cases have too.

    `shown` of `traced` gold values were shown to the deciding step in solved cases.
    """

    usual: frozenset[tuple[str, str]]
    shown: int
    traced: int

    def miss_confidence(self) -> Confidence | None:
        """How well "the answer was never shown" explains a failure; None where solved cases did not need it
        either.

        Answers that a model works out or knows (a sum, a date from memory) are not shown when it succeeds.
        """
        if self.traced == 0:
            return "medium"
        rate = self.shown / self.traced
        if rate >= 0.8:
            return "high" if self.traced >= _ENOUGH else "medium"
        return "low" if rate >= 0.5 else None


def learn_habits(solved: Iterable[CaseView]) -> Habits:
    faults: Counter[tuple[str, str]] = Counter()
    cases = shown = traced = 0
    for view in solved:
        cases += 1
        faults.update({(step.name, fault.category) for step in view.steps if (fault := output_fault(step))})
        for value in read_gold(view).fields:
            step = view.decider(predicted_text(view, value))
            if step is not None and value.is_traceable:
                traced += 1
                shown += holds(step.shown, value.forms)
    usual = frozenset(pair for pair, count in faults.items() if cases >= 3 and count / cases >= _USUAL)
    return Habits(usual, shown, traced)
