"""What the spenders of a run have paid, and the limits that hold before a call is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from fapo.errors import BudgetExceeded
from fapo.records import Usage

Purpose = Literal["task", "judge", "optimizer"]


class Reservation:
    """Room for one call that is being made. Settle it as soon as its reply is here."""

    def __init__(self, budget: Budget, model: str, estimate_usd: float) -> None:
        self._budget = budget
        self._model = model
        self._estimate_usd = estimate_usd

    def settle(self, purpose: Purpose, usage: Usage) -> None:
        """Charge what the call cost. A cost that is unknown counts against the limit with its estimate."""
        self._budget._settle(self._model, purpose, usage, self._estimate_usd)


class Budget:
    """Limits on dollars and on model calls; None is no limit.

    Calls in flight hold room at the mean cost of their model. A call that may no longer fit waits until others have
    come in, so that neither concurrency overspends nor a cautious estimate ends a run that could go on.
    """

    def __init__(self, *, usd: float | None = None, calls: int | None = None) -> None:
        self.usd = usd
        self.calls = calls
        self._spent: dict[Purpose, Usage] = {}
        self._known: dict[str, tuple[int, float]] = {}
        self._counted_usd = 0.0
        self._counted_calls = 0
        self._held_usd = 0.0
        self._in_flight = 0
        self._released = asyncio.Event()

    def spent(self, purpose: Purpose | None = None) -> Usage:
        """What one spender has used, or all of them together."""
        if purpose is not None:
            return self._spent.get(purpose, Usage())
        return sum(self._spent.values(), Usage())

    @property
    def left_usd(self) -> float | None:
        """Dollars that are not spent, leaving calls in flight aside; None without a limit."""
        return None if self.usd is None else max(self.usd - self._counted_usd, 0.0)

    def charge(self, purpose: Purpose, usage: Usage) -> None:
        """Take down what was used elsewhere: cached replies, an agent's session, an interrupted run."""
        self._spent[purpose] = self.spent(purpose) + usage
        self._counted_usd += usage.cost_usd or 0.0

    @asynccontextmanager
    async def reserve(self, model: str, guess_usd: float | None = None) -> AsyncIterator[Reservation]:
        """Hold room for one call while the context lasts; `guess_usd` serves while no call's cost is known.

        Raises BudgetExceeded when the limit leaves no room for it.
        """
        while True:
            mean = self._mean(model)
            estimate = guess_usd or 0.0 if mean is None else mean
            self._check(mean or 0.0)
            if self._fits(estimate):
                break
            await self._released.wait()
        self._in_flight += 1
        self._held_usd += estimate
        try:
            yield Reservation(self, model, estimate)
        finally:
            self._in_flight -= 1
            # Sums of floats drift; an idle budget holds nothing.
            self._held_usd = self._held_usd - estimate if self._in_flight else 0.0
            self._released.set()
            self._released = asyncio.Event()

    def _mean(self, model: str) -> float | None:
        calls, usd = self._known.get(model, (0, 0.0))
        return usd / calls if calls else None

    def _check(self, mean: float) -> None:
        if self.calls is not None and self._counted_calls >= self.calls:
            raise BudgetExceeded(f"the limit of {self.calls:,} model calls is reached")
        if self.usd is not None and (self._counted_usd >= self.usd or self._counted_usd + mean > self.usd):
            spent = f"${self._counted_usd:.4f} of ${self.usd:g} is spent"
            raise BudgetExceeded(f"the budget leaves no room for another model call: {spent}")

    def _fits(self, estimate: float) -> bool:
        if not self._in_flight:
            return True
        if self.calls is not None and self._counted_calls + self._in_flight >= self.calls:
            return False
        return self.usd is None or self._counted_usd + self._held_usd + estimate <= self.usd

    def _settle(self, model: str, purpose: Purpose, usage: Usage, estimate: float) -> None:
        self.charge(purpose, usage)
        self._counted_calls += 1
        if usage.cost_usd is None:
            self._counted_usd += estimate
        else:
            calls, usd = self._known.get(model, (0, 0.0))
            self._known[model] = (calls + 1, usd + usage.cost_usd)
