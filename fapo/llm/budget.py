"""What the spenders of a run have paid, and the limits that hold before a call is made."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from fapo.errors import BudgetExceeded
from fapo.records import Usage

Purpose = Literal["task", "judge", "optimizer"]


@dataclass(slots=True)
class _Seen:
    """What the settled calls of one model came to. Calls of unknown cost or length do not count into the means."""

    priced: int = 0
    usd: float = 0.0
    counted: int = 0
    tokens: int = 0

    @property
    def mean_usd(self) -> float | None:
        return self.usd / self.priced if self.priced else None

    @property
    def mean_tokens(self) -> float | None:
        return self.tokens / self.counted if self.counted else None


@dataclass(frozen=True, slots=True)
class Kept:
    """What of each limit is kept back for later."""

    usd: float = 0.0
    calls: int = 0
    tokens: int = 0


class Reservation:
    """Room for one call that is being made. Settle it as soon as its reply is here; release it in any case."""

    def __init__(self, budget: Budget, model: str, usd: float, tokens: float) -> None:
        self._budget = budget
        self._model = model
        self.usd = usd
        self.tokens = tokens

    def settle(self, purpose: Purpose, usage: Usage) -> None:
        """Charge what the call cost. What is unknown counts against the limits with its estimate."""
        self._budget._settle(self._model, purpose, usage, self)

    def release(self) -> None:
        """Give the room back: the call is over."""
        self._budget._release(self)


class Budget:
    """Limits on dollars, on model calls and on tokens (prompt and reply); None is no limit.

    Calls in flight hold room at the means of their model. A call that may no longer fit waits until others have
    come in, so that neither concurrency overspends nor a cautious estimate ends a run that could go on.
    """

    def __init__(self, *, usd: float | None = None, calls: int | None = None, tokens: int | None = None) -> None:
        self.usd = usd
        self.calls = calls
        self.tokens = tokens
        self._spent: dict[Purpose, Usage] = {}
        self._seen: dict[str, _Seen] = {}
        self._counted_usd = 0.0
        self._counted_calls = 0
        self._counted_tokens = 0.0
        self._held_usd = 0.0
        self._held_tokens = 0.0
        self._in_flight = 0
        self._released: asyncio.Event | None = None
        self._kept = Kept()

    def keep_back(self, kept: Kept) -> None:
        """Leave a part of each limit unused until something else is kept back: room for what must be paid later."""
        self._kept = kept

    def spent(self, purpose: Purpose | None = None) -> Usage:
        """What one spender has used, or all of them together."""
        if purpose is not None:
            return self._spent.get(purpose, Usage())
        return sum(self._spent.values(), Usage())

    @property
    def left_usd(self) -> float | None:
        """Dollars that are not spent, leaving calls in flight aside; None without a limit."""
        return None if self.usd is None else max(self.usd - self._counted_usd, 0.0)

    def expected_tokens(self, model: str) -> int | None:
        """What a call of this model has used in the mean, prompt and reply; None before the first."""
        seen = self._seen.get(model)
        return None if seen is None or seen.mean_tokens is None else round(seen.mean_tokens)

    def charge(self, purpose: Purpose, usage: Usage) -> None:
        """Take down what was used elsewhere: cached replies, an agent's session, an interrupted run.

        Its dollars count against the limit; calls and tokens are limited for those that go through `reserve`.
        """
        self._spent[purpose] = self.spent(purpose) + usage
        self._counted_usd += usage.cost_usd or 0.0

    async def reserve(self, model: str, guess_usd: float | None = None, guess_tokens: int = 0) -> Reservation:
        """Hold room for one call; the guesses serve while no call's cost and length are known.

        Raises BudgetExceeded when a limit leaves no room for it.
        """
        seen = self._seen.get(model)
        if seen is None:
            seen = self._seen[model] = _Seen()
        while True:
            mean = seen.mean_usd
            tokens = seen.mean_tokens
            held = Reservation(
                self, model, guess_usd or 0.0 if mean is None else mean, guess_tokens if tokens is None else tokens
            )
            self._check(mean or 0.0)
            if self._fits(held):
                break
            released = self._released = self._released or asyncio.Event()
            await released.wait()
        self._in_flight += 1
        self._held_usd += held.usd
        self._held_tokens += held.tokens
        return held

    def _release(self, held: Reservation) -> None:
        self._in_flight -= 1
        # Sums of floats drift; an idle budget holds nothing.
        self._held_usd = self._held_usd - held.usd if self._in_flight else 0.0
        self._held_tokens = self._held_tokens - held.tokens if self._in_flight else 0.0
        if self._released is not None:
            self._released.set()
            self._released = None

    def _check(self, mean_usd: float) -> None:
        kept = self._kept
        if self.calls is not None and self._counted_calls + kept.calls >= self.calls:
            later = f", but for {kept.calls:,} that are kept back" if kept.calls else ""
            raise BudgetExceeded(f"the limit of {self.calls:,} model calls is reached{later}")
        if self.tokens is not None and self._counted_tokens + kept.tokens >= self.tokens:
            later = f", but for {kept.tokens:,} that are kept back" if kept.tokens else ""
            raise BudgetExceeded(f"the limit of {self.tokens:,} tokens is reached{later}")
        used = self._counted_usd + kept.usd
        if self.usd is not None and (used >= self.usd or used + mean_usd > self.usd):
            later = f" and ${kept.usd:.4f} kept back" if kept.usd else ""
            spent = f"${self._counted_usd:.4f} of ${self.usd:g} is spent{later}"
            raise BudgetExceeded(f"the budget leaves no room for another model call: {spent}")

    def _fits(self, held: Reservation) -> bool:
        if not self._in_flight:
            return True
        kept = self._kept
        if self.calls is not None and self._counted_calls + self._in_flight + kept.calls >= self.calls:
            return False
        tokens = self._counted_tokens + self._held_tokens + held.tokens + kept.tokens
        if self.tokens is not None and tokens > self.tokens:
            return False
        return self.usd is None or self._counted_usd + self._held_usd + held.usd + kept.usd <= self.usd

    def _settle(self, model: str, purpose: Purpose, usage: Usage, held: Reservation) -> None:
        self.charge(purpose, usage)
        self._counted_calls += 1
        seen = self._seen.setdefault(model, _Seen())
        if usage.cost_usd is None:
            self._counted_usd += held.usd
        else:
            seen.priced += 1
            seen.usd += usage.cost_usd
        if usage.input_tokens is None or usage.output_tokens is None:
            self._counted_tokens += held.tokens
        else:
            self._counted_tokens += usage.input_tokens + usage.output_tokens
            seen.counted += 1
            seen.tokens += usage.input_tokens + usage.output_tokens
