"""A change of one step of one case, to see what depends on it: counterfactual replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fapo.records import ModelRequest


@dataclass(frozen=True, slots=True)
class Intervention:
    """What is done at `step` when a case is run again; all else is as it was.

    outputs: put in place of what the step puts out, one for each time that it runs; a later time it runs as ever.
    model: answers the step's calls in place of its own, on the same messages.
    trial: a fresh sample of the step.
    context: text that is added below the last message of the step's calls.
    """

    step: str
    outputs: tuple[Any, ...] = ()
    model: str | None = None
    trial: int | None = None
    context: str | None = None

    def changed(self, request: ModelRequest) -> ModelRequest:
        """The request that a call of the step makes in place of its own."""
        if self.model is not None:
            request = replace(request, model=self.model)
        if self.trial is not None:
            request = replace(request, trial=self.trial)
        if self.context is not None and request.messages:
            *before, last = request.messages
            request = replace(request, messages=(*before, _extended(last, self.context)))
        return request


def _extended(message: Mapping[str, Any], text: str) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [*content, {"type": "text", "text": text}]}
    return {**message, "content": f"{content or ''}\n\n{text}"}
