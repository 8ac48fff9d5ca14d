"""What a score function that needs a model asks: the benchmark's judge, through the gateway, paid for apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fapo.errors import ProviderError
from fapo.llm.gateway import Gateway
from fapo.records import ModelRequest, Usage

MAX_TOKENS = 1024
TRIES = 3
T = TypeVar("T")


class Judge:
    """Asks the judge model for one case. `usage` is what that cost; verdicts come from the cache where they are known.

    The judge is asked at temperature 0, and the same question again only under another `sample` number.
    """

    def __init__(self, gateway: Gateway, model: str, rank: int = 0) -> None:
        self._gateway = gateway
        self._model = model
        self._rank = rank
        self.usage = Usage()

    async def __call__(self, question: str, *, system: str = "", sample: int = 0) -> str:
        """The judge's reply. Raises ProviderError, BudgetExceeded or CredentialsError."""
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": question})
        params = {"temperature": 0.0, "max_tokens": MAX_TOKENS}
        request = ModelRequest(self._model, tuple(messages), params, trial=0, occurrence=sample)
        reply = await self._gateway.complete(request, "judge", rank=self._rank)
        self.usage += reply.usage
        return reply.text

    async def read(self, question: str, parse: Callable[[str], T | None], *, system: str = "") -> T:
        """What `parse` makes of the reply; while that is None, the judge is asked again, TRIES times in all.

        Raises ProviderError where no reply can be read: the case stays undecided.
        """
        for sample in range(TRIES):
            reply = await self(question, system=system, sample=sample)
            if (found := parse(reply)) is not None:
                return found
        raise ProviderError(f"the judge {self._model} gives no verdict that can be read, but {reply[:80]!r}")
