"""Makes the same calls on LiteLLMClient's short way and on its ordinary one, to hold them against each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fapo.errors import FapoError
from fapo.llm.client import LiteLLMClient
from fapo.llm.endpoints import Endpoint
from fapo.llm.translate import Retryable
from fapo.records import ModelReply, ModelRequest
from tests.llm.model_server import Answer, Received, model_server

# Set anew for every request, or different from call to call on either way.
_OWN_HEADERS = frozenset({"content-length", "host", "connection", "accept-encoding"})


@dataclass(frozen=True)
class Refusal:
    """What an attempt raised, without its wording."""

    error: type[Exception]
    kind: str | None = None
    rate_limited: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Walk:
    """What some calls sent and brought. Costs are rounded to nine digits, latencies left out."""

    received: list[Received]
    outcomes: list[ModelReply | Refusal]
    short_calls: int

    @property
    def reply(self) -> ModelReply:
        """That of the last call."""
        assert isinstance(self.outcomes[-1], ModelReply), self.outcomes[-1]
        return self.outcomes[-1]

    @property
    def refusal(self) -> Refusal:
        """That of the last call."""
        return self.refusal_of(-1)

    def refusal_of(self, place: int) -> Refusal:
        refused = self.outcomes[place]
        assert isinstance(refused, Refusal), refused
        return refused


def chat(*texts: str, roles: Sequence[str] = ("system", "user"), **params: Any) -> ModelRequest:
    """A request of a text for each role."""
    messages = tuple({"role": role, "content": text} for role, text in zip(roles, texts, strict=True))
    return ModelRequest("asked/model", messages, params)


def lessons(**params: Any) -> list[ModelRequest]:
    """Two requests of one shape: what the short way is learned from."""
    return [chat("Be brief.", "What is two and two?", **params), chat("Be kind.", "And three and three?", **params)]


def walk(
    requests: Sequence[ModelRequest], *answers: Answer, model: str = "openai/gpt-4o-mini", short_way: bool = True,
    timeout_s: float = 30.0, **endpoint: Any,
) -> Walk:  # fmt: skip
    """Make the calls one after the other with a new client."""

    async def main() -> Walk:
        client = LiteLLMClient(short_way=short_way)
        async with model_server(*answers) as server:
            try:
                where = server.endpoint(model, **endpoint)
                outcomes = [await _outcome(client, request, where, timeout_s) for request in requests]
                return Walk([_comparable(each) for each in server.received], outcomes, client.short_calls)
            finally:
                await client.aclose()

    return asyncio.run(main())


def both(requests: Sequence[ModelRequest], *answers: Answer, **options: Any) -> tuple[Walk, Walk]:
    """The short way, then the ordinary one."""
    return walk(requests, *answers, **options), walk(requests, *answers, short_way=False, **options)


def agreed(requests: Sequence[ModelRequest], *answers: Answer, **options: Any) -> Walk:
    """Make the calls on both ways, see that they agree in all that was sent and brought, and return the short one."""
    short, ordinary = both(requests, *answers, **options)
    for place, (one, other) in enumerate(zip(short.received, ordinary.received, strict=True)):
        assert one == other, f"request {place}: {str(one)[:2000]}\nagainst\n{str(other)[:2000]}"
    for place, (reply, expected) in enumerate(zip(short.outcomes, ordinary.outcomes, strict=True)):
        assert reply == expected, f"call {place}: {reply}\nagainst\n{expected}"
    assert ordinary.short_calls == 0
    return short


async def _outcome(
    client: LiteLLMClient, request: ModelRequest, endpoint: Endpoint, timeout_s: float
) -> ModelReply | Refusal:
    try:
        reply = await client.call(request, endpoint, timeout_s)
    except Retryable as failure:
        return Refusal(type(failure.error), None, failure.rate_limited, failure.retry_after_s)
    except FapoError as error:
        return Refusal(type(error), getattr(error, "kind", None))
    cost = None if reply.cost_usd is None else float(f"{reply.cost_usd:.9g}")
    return replace(reply, latency_s=0.0, cost_usd=cost)


def _comparable(request: Received) -> Received:
    kept: Callable[[str], bool] = lambda name: name not in _OWN_HEADERS and not name.startswith("x-stainless-")  # noqa: E731
    return replace(request, headers={name: value for name, value in request.headers.items() if kept(name)})
