"""What a call costs, from LiteLLM's own calculation: in full where it must be, as rates where that is the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FullCost = Callable[[Mapping[str, Any]], float | None]
"""Dollars for a usage object as OpenAI's API reports it; None where the price is unknown."""

_PLAIN = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
_DETAILS = frozenset({"prompt_tokens_details", "completion_tokens_details"})
_PROBED_TOKENS = 100_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars a token."""

    input: float
    cached_input: float
    output: float

    def cost(self, prompt: int, cached: int, completion: int) -> float:
        return (prompt - cached) * self.input + cached * self.cached_input + completion * self.output


class ModelPrice:
    """The price of one model. Up to 100,000 tokens a side it is a sum of rates, if probing has shown that it is.

    One that is not `steady` differs by the time of day, and is asked in full for every call.
    """

    def __init__(self, full_cost: FullCost, *, steady: bool = True) -> None:
        self._full_cost = full_cost
        self._known = full_cost(_usage(1000, 1000)) is not None
        self._rates = _probe(full_cost) if steady else None

    def cost(self, usage: Mapping[str, Any]) -> float | None:
        """Dollars for a usage object; None where the price is unknown."""
        if not self._known:
            return None
        tokens = _plain_tokens(usage)
        if self._rates is None or tokens is None or max(tokens) > _PROBED_TOKENS:
            return self._full_cost(usage)
        return self._rates.cost(*tokens)


def _usage(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion
    }  # fmt: skip
    return usage | ({"prompt_tokens_details": {"cached_tokens": cached}} if cached else {})


def _probe(full_cost: FullCost) -> Rates | None:
    base, more_in = full_cost(_usage(1000, 1000)), full_cost(_usage(2000, 1000))
    more_out, some_cached = full_cost(_usage(1000, 2000)), full_cost(_usage(1000, 1000, cached=500))
    if base is None or more_in is None or more_out is None or some_cached is None:
        return None
    rate_in, rate_out = (more_in - base) / 1000, (more_out - base) / 1000
    rates = Rates(rate_in, rate_in - (base - some_cached) / 500, rate_out)
    big = _PROBED_TOKENS
    for prompt, cached, completion in ((1000, 0, 1000), (big, 0, 1), (1, 0, big), (big, big // 2, big), (10, 10, 1)):
        full = full_cost(_usage(prompt, completion, cached))
        if full is None or not math.isclose(full, rates.cost(prompt, cached, completion), rel_tol=1e-9, abs_tol=1e-15):
            return None
    return rates


def _plain_tokens(usage: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Prompt, cached and completion tokens, where these are all that the price can depend on."""
    if not usage.keys() <= _PLAIN | _DETAILS:
        return None
    cached = 0
    for name in _DETAILS & usage.keys():
        for detail, count in (usage[name] or {}).items():
            if detail == "cached_tokens" and name == "prompt_tokens_details":
                cached = count or 0
            elif count:
                return None
    counts = (usage.get("prompt_tokens"), cached, usage.get("completion_tokens"))
    return counts if all(isinstance(count, int) for count in counts) else None  # type: ignore[return-value]
