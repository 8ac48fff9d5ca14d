"""Stands in for the gateway and the observer of an evaluation, with no model and no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fapo.records import Case, CaseRecord, ModelReply, ModelRequest, Prediction, Score


@dataclass
class FakeGateway:
    """Answers with `answer(request)`, which may raise."""

    answer: Callable[[ModelRequest], str] = lambda request: request.messages[-1]["content"].upper()
    requests: list[ModelRequest] = field(default_factory=list)

    async def complete(
        self, request: ModelRequest, purpose: str = "task", *, on_hold: object = None, rank: int = 0
    ) -> ModelReply:
        self.requests.append(request)
        return ModelReply(self.answer(request), request.model, "stop", 10, 5, 0.001, 0.01)


@dataclass
class Watcher:
    seen: list[CaseRecord] = field(default_factory=list)

    def case_done(self, record: CaseRecord) -> None:
        self.seen.append(record)


def equal(case: Case, prediction: Prediction) -> Score:
    return Score(float(prediction.output == case.expected))
