"""The one place through which every model call goes: cache, budget, rate limits, retries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from fapo.errors import ProviderError
from fapo.llm import client
from fapo.llm.budget import Budget
from fapo.llm.cache import ReplyCache, cache_key
from fapo.llm.client import RetryableError
from fapo.llm.endpoints import Endpoint, plain_endpoint
from fapo.records import ModelReply, ModelRequest, Usage

MAX_TRIES = 6
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
CALL_TIMEOUT_S = 300.0

CallModel = Callable[..., Awaitable[ModelReply]]


class Gateway:
    """Answers model requests: from the cache, or by a call that is budgeted, retried and cached.

    Equal requests in flight share one call. After a rate limit all calls to that endpoint wait together.
    """

    def __init__(
        self,
        *,
        cache: ReplyCache,
        budget: Budget,
        endpoints: Mapping[str, Endpoint] | None = None,
        call: CallModel = client.call,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cache = cache
        self._budget = budget
        self._endpoints = dict(endpoints or {})
        self._call = call
        self._sleep = sleep
        self._in_flight: dict[str, asyncio.Future[ModelReply]] = {}
        self._open_at: dict[str, float] = {}

    async def complete(self, request: ModelRequest, purpose: str = "task") -> ModelReply:
        """The reply to a request.

        Raises BudgetExceeded before a call that the budget does not cover, PipelineError for what the request itself
        is to blame for, CredentialsError, and ProviderError when the endpoint failed for good.
        """
        endpoint = self._endpoints.get(request.model) or plain_endpoint(request.model)
        key = cache_key(request, endpoint)
        if (found := self._cache.get(key)) is not None:
            self._budget.charge(purpose, found.usage)
            return found
        if (twin := self._in_flight.get(key)) is not None:
            reply = await asyncio.shield(twin)
            return replace(reply, cached=True)
        future = self._in_flight[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._call_with_retries(request, endpoint, purpose)
            self._cache.put(key, reply)
            future.set_result(reply)
            return reply
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else ProviderError("the call was cancelled"))
            future.exception()
            raise
        finally:
            del self._in_flight[key]

    async def _call_with_retries(self, request: ModelRequest, endpoint: Endpoint, purpose: str) -> ModelReply:
        held = 0.0
        for attempt in range(1, MAX_TRIES + 1):
            held += await self._wait_for(endpoint)
            try:
                return replace(await self._call_once(request, endpoint, purpose), held_s=held)
            except RetryableError as error:
                if attempt == MAX_TRIES:
                    raise ProviderError(f"{error} (after {MAX_TRIES} tries)") from error
                wait = error.retry_after_s
                if wait is None:
                    wait = FIRST_WAIT_S * 2 ** (attempt - 1) * (0.5 + random.random())  # noqa: S311 - jitter
                wait = min(wait, LONGEST_WAIT_S)
                if error.rate_limited:
                    self._hold(endpoint, wait)
                started = time.monotonic()
                await self._sleep(wait)
                held += time.monotonic() - started
        raise AssertionError("unreachable")

    async def _call_once(self, request: ModelRequest, endpoint: Endpoint, purpose: str) -> ModelReply:
        self._budget.reserve()
        usage = Usage()
        try:
            reply = await self._call(request, endpoint, timeout_s=CALL_TIMEOUT_S)
            usage = reply.usage
            return reply
        finally:
            self._budget.settle(purpose, usage)

    def _hold(self, endpoint: Endpoint, seconds: float) -> None:
        place = endpoint.api_base or endpoint.model
        self._open_at[place] = max(self._open_at.get(place, 0.0), time.monotonic() + seconds)

    async def _wait_for(self, endpoint: Endpoint) -> float:
        """Wait while the endpoint is held for everybody; returns the seconds waited."""
        place = endpoint.api_base or endpoint.model
        left = self._open_at.get(place, 0.0) - time.monotonic()
        if left <= 0:
            return 0.0
        await self._sleep(left)
        return left

    async def aclose(self) -> None:
        """Close the cache and LiteLLM's connections."""
        self._cache.close()
        await client.close()
