"""The parent's half of one running case: makes its model calls and takes down its steps."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fapo.errors import PipelineError
from fapo.evaluation.guards import Allowance
from fapo.evaluation.intervention import Intervention
from fapo.evaluation.timeline import Call, Timeline
from fapo.llm.gateway import Gateway
from fapo.pipeline.spec import PipelineSpec
from fapo.records import Case, CaseRecord, Failure, ModelReply, ModelRequest, Prediction, Score, Step, Usage


@dataclass(slots=True)
class CaseRun:
    """One case in a worker, seen from the parent; a `CaseHandler`.

    `steps` hold what was seen, in the order of their ends; `record` puts them where they would have been alone.
    """

    spec: PipelineSpec
    models: Mapping[str, str]
    gateway: Gateway
    trial: int
    on_reply: Callable[[], None]
    allowance: Allowance | None = None
    intervention: Intervention | None = None
    held_out: bool = False
    started: float = field(default_factory=time.monotonic)
    seen: list[Call] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    ended: float = math.inf
    held_s: float = 0.0
    calls: int = 0
    given: int = 0
    demand: Usage = field(default_factory=Usage)
    occurrences: Counter[tuple[str, ...]] = field(default_factory=Counter)
    sent: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By role, the text of each request that left for a model of that role."""

    async def call_model(self, message: dict[str, Any]) -> dict[str, Any]:
        step = str(message.get("step"))
        self.calls += 1
        if self.calls > self.spec.limits.llm_calls:
            limit = self.spec.limits.llm_calls
            raise PipelineError(f"more than {limit} model calls in one case", kind="limit", step=step)
        role = str(message.get("role"))
        model = self.models.get(role)
        if model is None:
            raise PipelineError(f"step {step}: no model has the role `{role}`", kind="no_role", step=step)
        request = self._request(model, message)
        self.sent[role] = (*self.sent.get(role, ()), _said(request))
        start = time.monotonic()
        if self.intervention is not None and step == self.intervention.step:
            request = self.intervention.changed(request)
            given = self.given
            self.given += 1
            if given < len(self.intervention.outputs):
                text = str(self.intervention.outputs[given])
                self._add(step, {"messages": request.messages}, text, start, 0.0, role=role)
                return {"text": text, "finish_reason": "stop", "input_tokens": 0, "output_tokens": 0}
        model = request.model
        inputs = {"variables": message.get("variables"), "messages": request.texts or request.messages}
        try:
            reply = await self.gateway.complete(request, on_hold=self.hold, rank=self.calls)
        except Exception as error:
            self._add(step, inputs, None, start, None, model=model, role=role, error=str(error))
            raise
        self.on_reply()
        output: Any = f"{len(reply.embeddings)} embeddings" if request.texts else reply.text
        if reply.tool_calls:
            output = {"text": reply.text, "tool_calls": list(reply.tool_calls)}
        self._add(step, inputs, output, start, reply.latency_s, model=model, role=role, usage=reply.usage,
                  finish_reason=reply.finish_reason, cached=reply.cached,
                  first_usage=reply.demand if reply.cached else None)  # fmt: skip
        self.demand += reply.demand
        if self.allowance is not None and (excess := self.allowance.exceeded_by(self.demand)):
            raise PipelineError(f"{excess}, more than the benchmark's guards allow", kind="guard", step=step)
        return _as_message(reply)

    def hold(self, seconds: float) -> None:
        """Take down a wait that is no fault of the pipeline, before it begins."""
        self.held_s += seconds

    def _request(self, model: str, message: dict[str, Any]) -> ModelRequest:
        try:
            texts = tuple(message.get("texts", ()))
            messages = () if texts else tuple(message["messages"])
            sampling = dict(message["sampling"])
            request = ModelRequest(model, messages, sampling, self.trial, texts=texts, held_out=self.held_out)
            return self._numbered(request)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise PipelineError(f"this is no model call: {type(error).__name__}: {error}", kind="bad_request") from None

    def _numbered(self, request: ModelRequest) -> ModelRequest:
        key = (request.model, *map(_text, request.messages), *request.texts, _text(request.params))
        occurrence = self.occurrences[key]
        self.occurrences[key] += 1
        return replace(request, occurrence=occurrence) if occurrence else request

    def begin(self) -> None:
        """The case enters a worker now: until here it waited for other cases."""
        self.started = time.monotonic()

    def _since(self, moment: float) -> float:
        """Seconds of the case at a moment of the clock; of one that the worker tells, never outside of the case."""
        return min(max(moment, self.started), time.monotonic()) - self.started

    def _add(self, name: str, inputs: Any, output: Any, start: float, took: float | None, **extra: Any) -> None:
        began, ended = self._since(start), self._since(math.inf)
        took = ended - began if took is None else took
        self.seen.append(Call(began, ended, took))
        self.steps.append(Step(name, "llm", inputs, output, began, took, **extra))

    def record_step(self, message: dict[str, Any]) -> None:
        error = message["error"]
        self.steps.append(
            Step(
                name=str(message["step"]),
                kind="function",
                inputs=message["inputs"],
                output=message["output"],
                start_s=self._since(_number(message["start"])),
                duration_s=_number(message["duration_s"]),
                error=error and str(error),
            )
        )

    def record(
        self, case: Case, prediction: Prediction | None, score: Score | None, failure: Failure | None,
        judge: Usage | None = None,
    ) -> CaseRecord:  # fmt: skip
        """The record, with what the judge cost. The case ended when `ended` was set, or ends now."""
        alone = Timeline(self.seen)
        steps = sorted(self.steps, key=lambda step: step.start_s)
        placed = [replace(step, start_s=alone.at(step.start_s)) for step in steps]
        duration_s = alone.at(self._since(self.ended))
        return CaseRecord(case.id, self.trial, tuple(placed), prediction, score, failure, duration_s, judge or Usage())


def _number(value: Any) -> float:
    """Raises ValueError or TypeError for what is not a finite number."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no time")
    return number


def _text(value: dict[str, Any]) -> str:
    """A message or parameters as a text that differs where they do."""
    content = value.get("content")
    if isinstance(content, str) and len(value) == 2:
        return f"{value.get('role')}:{content}"
    return repr(sorted(value.items(), key=str))


def _said(request: ModelRequest) -> str:
    """All that a request says: the contents of its messages, or the texts to embed."""
    contents: list[Any] = [*request.texts, *(message.get("content") for message in request.messages)]
    return "\n\n".join(text if isinstance(text, str) else json.dumps(text, ensure_ascii=False) for text in contents)


def _as_message(reply: ModelReply) -> dict[str, Any]:
    """What goes back into the worker: nothing of cost, cache or timing."""
    message: dict[str, Any] = {"text": reply.text, "finish_reason": reply.finish_reason,
                               "input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}  # fmt: skip
    if reply.tool_calls:
        message["tool_calls"] = reply.tool_calls
    if reply.embeddings:
        message["embeddings"] = reply.embeddings
    return message
