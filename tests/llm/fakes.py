"""Stands in for LiteLLM and for time in tests of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fapo.errors import ProviderError
from fapo.llm.endpoints import Endpoint
from fapo.llm.gateway import Patience
from fapo.llm.translate import Retryable
from fapo.records import ModelReply, ModelRequest


def ask(text: str = "hi", model: str = "openai/m", trial: int = 0, occurrence: int = 0) -> ModelRequest:
    return ModelRequest(model, ({"role": "user", "content": text},), {}, trial, occurrence)


def reply_of(
    text: str = "hello", cost_usd: float | None = 0.01, finish_reason: str | None = "stop", tokens: int | None = 10
) -> ModelReply:
    return ModelReply(text, "openai/m", finish_reason, tokens, tokens, cost_usd, 0.5)


def rate_limit(retry_after_s: float | None = None) -> Retryable:
    return Retryable(ProviderError("slow down"), rate_limited=True, retry_after_s=retry_after_s)


def outage(retry_after_s: float | None = None) -> Retryable:
    return Retryable(ProviderError("it is down"), retry_after_s=retry_after_s)


@dataclass
class FakeClient:
    """Gives the outcomes in turn, and the last one from then on; while `gate` is closed calls stay on the wire."""

    outcomes: list[ModelReply | Exception] = field(default_factory=lambda: [reply_of()])
    priced: Callable[[str], bool] = lambda model: True
    guess_usd: float | None = 0.01
    gate: asyncio.Event | None = None
    takes_s: float = 0.0
    spend: Callable[[float], Awaitable[None]] = asyncio.sleep
    requests: list[ModelRequest] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    clock: Callable[[], float] = lambda: 0.0
    in_flight: int = 0
    most_in_flight: int = 0
    closed: bool = False

    async def call(self, request: ModelRequest, endpoint: Endpoint, timeout_s: float) -> ModelReply:
        self.requests.append(request)
        self.endpoints.append(endpoint)
        self.sent_at.append(self.clock())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await (self.gate.wait() if self.gate else self.spend(self.takes_s))
        finally:
            self.in_flight -= 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def texts(self) -> list[str]:
        """The last message of each request, as sent."""
        return [request.messages[-1]["content"] for request in self.requests]

    def provider(self, endpoint: Endpoint) -> str:
        return endpoint.identity

    def known_price(self, model: str) -> bool:
        return self.priced(model)

    def estimate_cost(self, request: ModelRequest, endpoint: Endpoint) -> float | None:
        return self.guess_usd

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class FakeTime:
    """A clock that sleeping moves on."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        due = self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, due)

    def patience(self, max_tries: int = 6, chance: float = 1.0) -> Patience:
        return Patience(max_tries=max_tries, clock=lambda: self.now, sleep=self.sleep, chance=lambda: chance)


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)
