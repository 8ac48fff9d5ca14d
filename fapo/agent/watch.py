"""What sessions of every agent share: how they are watched for silence, and how they tell what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fapo.agent.protocol import AgentCause, AgentEvent, AgentEventKind

STATUS_CAUSES: dict[int, AgentCause] = {401: "credentials", 403: "credentials", 402: "billing", 429: "rate_limit"}
"""What a status of a model's API says of a failed session; 5xx is `overload`, others are `other`."""

_SUMMARY_CHARACTERS = 160


class SilenceWatch:
    """Notices when nothing was heard for `limit_s` while no tool was running."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._tools_running = 0
        self.heard()

    def heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()

    @contextmanager
    def tool(self) -> Iterator[None]:
        """A tool of fapo's runs for as long as the context lasts."""
        self._tools_running += 1
        try:
            yield
        finally:
            self._tools_running -= 1
            self.heard()

    async def silence(self) -> None:
        """Return once there was silence for as long as that."""
        clock, limit = asyncio.get_running_loop().time, self._limit_s
        # ASYNC110: there is no event to await; time has to pass
        while (left := limit if self._tools_running else self._heard_at + limit - clock()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)


def tell(on_event: Callable[[AgentEvent], None], kind: AgentEventKind, summary: str, detail: dict[str, Any]) -> None:
    """Pass on an event, its summary cut to one line."""
    flat = " ".join(summary.split())
    cut = flat if len(flat) <= _SUMMARY_CHARACTERS else flat[: _SUMMARY_CHARACTERS - 1] + "…"
    on_event(AgentEvent(kind, cut, detail))
