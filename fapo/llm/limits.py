"""Requests and tokens a minute, as a user allows them for each provider."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 60.0


@dataclass(slots=True)
class Slot:
    """The moment at which one request may leave, and the tokens that it is taken to use."""

    at: float
    tokens: int


@dataclass(slots=True)
class RateLimit:
    """At most `rpm` requests and `tpm` tokens in any minute; None is no limit. Seconds are those of the given clock."""

    rpm: int | None
    tpm: int | None
    _slots: deque[Slot] = field(default_factory=deque)

    def reserve(self, now: float, tokens: int) -> Slot:
        """The next free moment for a request of about so many tokens. A request larger than `tpm` goes alone."""
        while self._slots and self._slots[0].at <= now - WINDOW_S:
            self._slots.popleft()
        at = max(now, self._slots[-1].at if self._slots else now)
        if self.rpm is not None and len(self._slots) >= self.rpm:
            at = max(at, self._slots[-self.rpm].at + WINDOW_S)
        if self.tpm is not None:
            at = max(at, self._free_of_tokens(tokens))
        slot = Slot(at, tokens)
        self._slots.append(slot)
        return slot

    def _free_of_tokens(self, tokens: int) -> float:
        """From when on the minute before holds few enough tokens."""
        assert self.tpm is not None
        total = tokens
        for slot in reversed(self._slots):
            total += slot.tokens
            if total > self.tpm:
                return slot.at + WINDOW_S
        return 0.0
