"""Where calls of a model string go."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What LiteLLM is called with for a model string.

    `identity` goes into the cache key; `free` says that calls cost nothing, which is known and not a guess.
    """

    model: str
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)
    identity: str = ""
    free: bool = False


def plain_endpoint(model: str) -> Endpoint:
    """A model string that LiteLLM understands by itself."""
    return Endpoint(model, identity=model)
