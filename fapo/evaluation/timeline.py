"""When the steps of a case would have been, had it run alone and paid for each reply.

While many cases are in flight a call also waits for other cases, for rate limits, and for nothing at all if its reply
is cached. None of that is the pipeline's. Here each call takes what its reply took at the provider, and what came after
it moves along.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """A model call as it was seen: it was under way from `start` to `end`, and its reply took `took`. Seconds."""

    start: float
    end: float
    took: float


class Timeline:
    """Moments of a case, seconds from its start, put where they would have been.

    What happens at a moment is taken to have waited for every call that had ended by then.
    """

    def __init__(self, calls: Iterable[Call]) -> None:
        self._ended: list[tuple[float, float]] = []
        for call in sorted(calls, key=lambda call: call.start):
            self._ended.append((call.end, self.at(call.start) + call.took))

    def at(self, moment: float) -> float:
        before = [(seen, alone) for seen, alone in self._ended if seen <= moment]
        if not before:
            return moment
        return max(alone for _, alone in before) + moment - max(seen for seen, _ in before)
