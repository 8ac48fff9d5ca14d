"""Where the calls to one model string go."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What LiteLLM is called with for one model string.

    `identity` goes into the cache key and must change when the model behind it does; `free` calls cost 0.
    """

    model: str
    api_base: str | None
    api_key: str | None = field(repr=False)
    identity: str
    free: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether calls certainly stay on this machine; without an `api_base` LiteLLM chooses, so they may not."""
        host = urlsplit(self.api_base or "").hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def plain_endpoint(model: str) -> Endpoint:
    """The endpoint of a string that LiteLLM understands as it stands."""
    return Endpoint(model, api_base=None, api_key=None, identity=model)
