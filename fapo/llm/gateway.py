"""The one place through which every task-model and judge call goes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from fapo.errors import PipelineError, ProviderError, UsageError
from fapo.llm.budget import Budget, Purpose
from fapo.llm.cache import ReplyCache
from fapo.llm.client import LiteLLMClient
from fapo.llm.endpoints import Endpoint, plain_endpoint
from fapo.llm.lanes import Lanes
from fapo.llm.limits import RateLimit
from fapo.llm.requests import check_request, request_key
from fapo.llm.translate import Retryable
from fapo.records import ModelReply, ModelRequest, Usage

_WIDEST_SPREAD_S = 10.0
OnCall = Callable[[Purpose, ModelReply], None]
OnHold = Callable[[float], None]


class ModelClient(Protocol):
    """Makes single attempts; `LiteLLMClient` is the real one."""

    async def call(self, request: ModelRequest, endpoint: Endpoint, timeout_s: float) -> ModelReply:
        """The reply, or Retryable, CredentialsError, ProviderError, PipelineError."""

    def provider(self, endpoint: Endpoint) -> str: ...

    def known_price(self, model: str) -> bool: ...

    def estimate_cost(self, request: ModelRequest, endpoint: Endpoint) -> float | None: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is tried. A rate limit is no failed try: it is waited for until `held_limit_s`. Seconds."""

    max_tries: int = 6
    timeout_s: float = 300.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    held_limit_s: float = 900.0
    farewell_s: float = 10.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random

    def backoff_s(self, failures: int) -> float:
        """The wait after so many failures in a row: doubled each time, with jitter of a half."""
        wait: float = min(self.first_wait_s * 2.0 ** (failures - 1), self.longest_wait_s)
        return wait * (0.5 + 0.5 * self.chance())


@dataclass(slots=True, eq=False)
class _Flight:
    """One call being made, for all who wait for its reply."""

    key: bytes
    request: ModelRequest
    endpoint: Endpoint
    purpose: Purpose
    provider: str
    rank: int
    task: asyncio.Task[ModelReply] | None = None
    waiters: list[OnHold] = field(default_factory=list)
    on_wire: bool = False
    claimed: bool = False
    wasted: Usage = field(default_factory=Usage)
    held_s: float = 0.0
    held_until: float = 0.0
    queued_at: float | None = None

    def hold(self, seconds: float) -> None:
        self.held_s += seconds
        for waiter in self.waiters:
            waiter(seconds)


class _Closed(Exception):
    """A call's turn came while its endpoint takes none."""


class Gateway:
    """Cache, single flight, budget, rate limits and retries around every model call.

    `endpoints` translates model strings; any other goes to LiteLLM as it stands. With `loopback_only` no call leaves
    this machine. `on_call` is told of every reply. `concurrency` is how many calls are on the wire at once, `rpm` and
    `tpm` how many requests and tokens a minute each provider is sent. The gateway owns the cache and closes it.
    """

    def __init__(
        self,
        *,
        cache: ReplyCache | None,
        budget: Budget,
        endpoints: Mapping[str, Endpoint] | None = None,
        client: ModelClient | None = None,
        patience: Patience | None = None,
        loopback_only: bool = False,
        on_call: OnCall | None = None,
        concurrency: int | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
    ) -> None:
        self._cache = cache
        self._budget = budget
        self._endpoints = dict(endpoints or {})
        self._client = client or LiteLLMClient()
        self._patience = patience or Patience()
        self._loopback_only = loopback_only
        self._on_call = on_call
        self._priced: set[str] = set()
        self._flights: dict[bytes, _Flight] = {}
        self._open_at: dict[str, tuple[float, ProviderError]] = {}
        self._wire: Lanes[ModelReply] | None = Lanes(concurrency) if concurrency is not None else None
        self._rpm, self._tpm = rpm, tpm
        self._limits: dict[str, RateLimit] = {}

    async def complete(
        self, request: ModelRequest, purpose: Purpose = "task", *, on_hold: OnHold | None = None, rank: int = 0
    ) -> ModelReply:
        """The reply to `request`: from the cache, from an equal request in flight, or from the model.

        Where calls have to queue for the wire, those of the lowest `rank` go first.
        `on_hold` is told of the seconds that are not the caller's fault: waits before they begin, failed tries after.
        Raises PipelineError, ProviderError, CredentialsError, BudgetExceeded or UsageError. A call whose caller gives
        up goes on while it is on the wire: its reply is paid for, and is kept for the next one who asks.
        """
        endpoint = self._endpoint(request.model)
        check_request(request)
        key = request_key(request, endpoint.identity)
        reply = self._cache.get(key) if self._cache is not None else None
        if reply is None:
            flight = self._flights.get(key)
            if flight is None:
                flight = _Flight(key, request, endpoint, purpose, self._client.provider(endpoint), rank)
                self._start(flight)
            reply = await self._join(flight, on_hold)
        if reply.cached:
            self._budget.charge(purpose, reply.usage)
        if self._on_call is not None:
            self._on_call(purpose, reply)
        return reply

    def require_prices(self, models: Iterable[str]) -> None:
        """Raise UsageError if a dollar budget is set and the price of one of `models` is unknown."""
        if self._budget.usd is None:
            return
        for model in self.unpriced(set(models) - self._priced):
            hint = "limit --max-calls or --max-tokens instead"
            raise UsageError(f"the price of {model} is unknown, so a budget in dollars cannot hold; {hint}")
        self._priced.update(models)

    def unpriced(self, models: Iterable[str]) -> list[str]:
        """Those of `models` whose price is unknown, in the order of their names."""
        return sorted(model for model in set(models) if not self._is_priced(model))

    def _is_priced(self, model: str) -> bool:
        endpoint = self._endpoints.get(model) or plain_endpoint(model)
        return endpoint.free or self._client.known_price(endpoint.model)

    def usage(self, purpose: Purpose | None = None) -> Usage:
        """What one spender has used so far, or all of them."""
        return self._budget.spent(purpose)

    async def aclose(self) -> None:
        """Close the model client and the cache. Calls that are on the wire are paid for, and get a while to arrive."""
        sent = [flight.task for flight in self._flights.values() if flight.task is not None and flight.on_wire]
        if sent:
            await asyncio.wait(sent, timeout=self._patience.farewell_s)
        tasks = [flight.task for flight in self._flights.values() if flight.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._wire is not None:
            await self._wire.aclose()
        await self._client.aclose()
        if self._cache is not None:
            self._cache.close()

    def _endpoint(self, model: str) -> Endpoint:
        endpoint = self._endpoints.get(model) or plain_endpoint(model)
        if self._loopback_only and not endpoint.is_loopback:
            raise UsageError(f"a call to {model} would leave this machine, and that is forbidden here")
        self.require_prices([model])
        return endpoint

    def _start(self, flight: _Flight) -> None:
        self._flights[flight.key] = flight
        flight.task = asyncio.create_task(self._fly(flight))
        # A flight that all callers have left may still fail; then there is nobody to hear of it.
        flight.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _join(self, flight: _Flight, on_hold: OnHold | None) -> ModelReply:
        held = 0.0

        def hold(seconds: float) -> None:
            nonlocal held
            held += seconds
            if on_hold is not None:
                on_hold(seconds)

        assert flight.task is not None
        flight.waiters.append(hold)
        if (left := flight.held_until - self._patience.clock()) > 0:
            hold(left)
        try:
            reply = await asyncio.shield(flight.task)
        finally:
            flight.waiters.remove(hold)
            if not flight.waiters and not flight.on_wire:
                # Nobody may join it while it is being cancelled.
                self._forget(flight)
                flight.task.cancel()
        first, flight.claimed = not flight.claimed, True
        return reply if first and not held else replace(reply, held_s=held, cached=not first)

    async def _fly(self, flight: _Flight) -> ModelReply:
        try:
            reply = await self._tries(flight)
            if self._cache is not None:
                self._cache.put(flight.key, reply)
            return reply
        finally:
            self._forget(flight)

    def _forget(self, flight: _Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    async def _tries(self, flight: _Flight) -> ModelReply:
        patience = self._patience
        failures = limited = 0
        while True:
            try:
                return await self._attempt(flight)
            except _Closed:
                continue
            except Retryable as failure:
                flight.wasted += failure.charged
                limited += failure.rate_limited
                failures += not failure.rate_limited
                if failures >= patience.max_tries or not flight.waiters:
                    raise ProviderError(f"{failure.error} (tried {failures + limited} times)") from None
                wait = failure.retry_after_s or patience.backoff_s(limited if failure.rate_limited else failures)
                if failure.rate_limited or failure.retry_after_s:
                    self._close_for(flight.provider, wait, failure.error)
                else:
                    await self._pause(flight, wait, failure.error)

    def _close_for(self, provider: str, wait: float, error: ProviderError) -> None:
        until = self._patience.clock() + wait
        if until > self._open_at.get(provider, (0.0, error))[0]:
            self._open_at[provider] = until, error

    async def _wait_until_open(self, flight: _Flight) -> None:
        """Wait out a rate limit that this call or another one ran into; jitter keeps them from returning as one."""
        while limit := self._open_at.get(flight.provider):
            until, error = limit
            left = until - self._patience.clock()
            if left <= 0:
                return
            spread = min(max(left / 2, 1.0), _WIDEST_SPREAD_S)
            await self._pause(flight, left + self._patience.chance() * spread, error)

    async def _pause(self, flight: _Flight, seconds: float, error: ProviderError) -> None:
        if flight.held_s + seconds > self._patience.held_limit_s:
            raise ProviderError(f"{error} (gave up after {flight.held_s:.0f} s; {seconds:.0f} s more to wait)")
        flight.held_until = self._patience.clock() + seconds
        flight.hold(seconds)
        await self._patience.sleep(seconds)

    async def _attempt(self, flight: _Flight) -> ModelReply:
        if self._rpm is not None or self._tpm is not None:
            await self._wait_for_slot(flight)
        if flight.provider in self._open_at:
            await self._wait_until_open(flight)
        if self._wire is None:
            reply = await self._send(flight)
        else:
            if self._wire.busy:
                # How long it will queue is not known, so the longest wait is held until the true one is.
                flight.queued_at = self._patience.clock()
                flight.hold(self._patience.held_limit_s)
            reply = await self._wire.run(flight.rank, lambda: self._send(flight))
        if reply.finish_reason == "content_filter":
            raise PipelineError(
                f"{flight.request.model}: the provider's filter withheld the reply", kind="content_policy"
            )
        return reply

    async def _send(self, flight: _Flight) -> ModelReply:
        request, endpoint, patience = flight.request, flight.endpoint, self._patience
        asked = patience.clock()
        if flight.queued_at is not None:
            flight.hold(asked - flight.queued_at - patience.held_limit_s)
            flight.queued_at = None
        if (limit := self._open_at.get(flight.provider)) and limit[0] > asked:
            raise _Closed
        guess = None if self._budget.usd is None else self._client.estimate_cost(request, endpoint)
        tokens = 0 if self._budget.tokens is None else _tokens(request)
        reservation = await self._budget.reserve(request.model, guess, tokens)
        sent = patience.clock()
        if sent > asked:
            flight.hold(sent - asked)
        flight.on_wire = True
        try:
            reply = await self._client.call(request, endpoint, patience.timeout_s)
            reservation.settle(flight.purpose, reply.usage)
        except BaseException as failure:
            # A reply that arrived stays on the wire until it is in the cache: nobody may cancel it on the way.
            flight.on_wire = False
            if isinstance(failure, Retryable):
                flight.hold(patience.clock() - sent)
                if failure.charged != Usage():
                    reservation.settle(flight.purpose, failure.charged)
            raise
        finally:
            reservation.release()
        return replace(reply, wasted=flight.wasted) if flight.wasted != Usage() else reply

    async def _wait_for_slot(self, flight: _Flight) -> None:
        """Wait until the user's own limits let another request out; that is no fault of anybody's."""
        limit = self._limits.setdefault(flight.provider, RateLimit(self._rpm, self._tpm))
        now = self._patience.clock()
        slot = limit.reserve(now, self._budget.expected_tokens(flight.request.model) or _tokens(flight.request))
        if (wait := slot.at - now) > 0:
            flight.held_until = slot.at
            flight.hold(wait)
            await self._patience.sleep(wait)


def _tokens(request: ModelRequest) -> int:
    """About how many tokens a request and its reply are, while nothing better is known."""
    asked = request.params.get("max_completion_tokens") or request.params.get("max_tokens")
    letters = len(str(request.messages)) + sum(map(len, request.texts))
    return letters // 4 + (asked if isinstance(asked, int) else 0)
