"""Limits on spending, checked before each call with what is in flight counted."""

from __future__ import annotations

from fapo.errors import BudgetExceeded
from fapo.records import Usage


class Budget:
    """Dollars that may be spent, and what was spent, by purpose.

    A call in flight is counted at the mean cost of the calls before it. Unknown costs cannot be limited: see
    `fapo.llm.client.known_price`, which is asked before anything is spent.
    """

    def __init__(self, *, usd: float | None = None, spent_usd: float = 0.0) -> None:
        self._usd = usd
        self._spent_before = spent_usd
        self._by_purpose: dict[str, Usage] = {}
        self._in_flight = 0

    def spent(self, purpose: str) -> Usage:
        return self._by_purpose.get(purpose, Usage())

    @property
    def total_usd(self) -> float:
        """Known spending so far, that before this process included."""
        return self._spent_before + sum(usage.cost_usd or 0.0 for usage in self._by_purpose.values())

    def reserve(self) -> None:
        """Count a call as in flight. Raises BudgetExceeded where it might not be paid for."""
        if self._usd is not None:
            expected = (self._in_flight + 1) * self._mean_cost()
            if self.total_usd >= self._usd or self.total_usd + expected > self._usd:
                raise BudgetExceeded(f"the budget of ${self._usd:g} is spent (${self.total_usd:.4f} so far)")
        self._in_flight += 1

    def settle(self, purpose: str, usage: Usage) -> None:
        """Charge a call that was reserved; an empty usage for one that cost nothing."""
        self._in_flight -= 1
        self._by_purpose[purpose] = self.spent(purpose) + usage

    def charge(self, purpose: str, usage: Usage) -> None:
        """Charge what was spent elsewhere, such as by the coding agent."""
        self._by_purpose[purpose] = self.spent(purpose) + usage

    def _mean_cost(self) -> float:
        calls = sum(usage.llm_calls for usage in self._by_purpose.values())
        known = sum(usage.cost_usd or 0.0 for usage in self._by_purpose.values())
        return known / calls if calls else 0.0
