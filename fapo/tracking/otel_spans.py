"""Runs and cases as OpenTelemetry spans, sent over OTLP. The opentelemetry seam.

A case is a trace: the pipeline is its root, each step a span. A run is a trace, too: sessions of the agent and
variants are its spans. Span and trace ids follow from names, so that what is sent again is the same and not a second
one. Records hold how long things took, not when: cases begin at the time when their evaluation began.

Texts of prompts and replies are sent only where that is asked for.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode, use_span

from fapo.errors import ProviderError
from fapo.evaluation.evaluate import Manifest
from fapo.optimize.events import Decided, Entry, Refused, SessionEnded, SessionStarted, Submitted
from fapo.records import CaseRecord, Step
from fapo.tracking import names

_BATCH = 500
_NS = 1_000_000_000


@dataclass
class SpanSink:
    """Sends spans in batches and counts them. A refused batch ends the export."""

    exporter: SpanExporter
    waiting: list[ReadableSpan] = field(default_factory=list)
    sent: int = 0

    def add(self, span: ReadableSpan) -> None:
        self.waiting.append(span)
        if len(self.waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:

        if self.waiting and self.exporter.export(self.waiting) is not SpanExportResult.SUCCESS:
            raise ProviderError(
                f"the OTLP endpoint took {self.sent:,} spans and refused the next: is it running, and does it want "
                "headers (OTEL_EXPORTER_OTLP_HEADERS)?"
            )
        self.sent += len(self.waiting)
        self.waiting = []


class Spans:
    """Makes spans with ids that follow from their names, and hands them to a sink."""

    def __init__(self, sink: SpanSink, provider: TracerProvider) -> None:
        self._sink, self._tracer, self._ids = sink, provider.get_tracer("fapo"), provider.id_generator

    @contextmanager
    def span(
        self, name: str, key: str, start_s: float, end_s: float, attributes: Mapping[str, Any], *, client: bool = False
    ) -> Iterator[Span]:
        """A span around those that are made inside. `key` names it among all spans of all runs."""

        assert isinstance(self._ids, _NamedIds)
        self._ids.key = key
        known = {each: value for each, value in attributes.items() if value not in (None, "")}
        span = self._tracer.start_span(
            name,
            kind=SpanKind.CLIENT if client else SpanKind.INTERNAL,
            attributes=known,
            start_time=int(start_s * _NS),
        )
        assert isinstance(span, Span)
        with use_span(span, end_on_exit=False):
            yield span
        span.end(int(end_s * _NS))
        self._sink.add(span)


@contextmanager
def open_spans(*, endpoint: str | None, run: str) -> Iterator[tuple[Spans, SpanSink]]:
    """Where spans go: `endpoint`, or what OTEL_EXPORTER_OTLP_ENDPOINT says."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what it could say is raised below, in one line
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
    resource = Resource.create({"service.name": "fapo", names.RUN: run})
    provider = TracerProvider(resource=resource, id_generator=_NamedIds(), shutdown_on_exit=False)
    sink = SpanSink(exporter)
    try:
        yield Spans(sink, provider), sink
        sink.flush()
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]


class _NamedIds(IdGenerator):
    """Trace and span ids by name."""

    key = ""

    def generate_trace_id(self) -> int:
        return int.from_bytes(hashlib.sha256(f"trace {self.key}".encode()).digest()[:16], "big")

    def generate_span_id(self) -> int:
        return int.from_bytes(hashlib.sha256(f"span {self.key}".encode()).digest()[:8], "big")

    def is_trace_id_random(self) -> bool:
        return False


def add_cases(
    spans: Spans, manifest: Manifest, records: Iterable[CaseRecord], *, key: str, began_at: float, content: bool
) -> int:
    """A trace for each case of an evaluation; returns how many. `began_at` is in seconds since the epoch."""
    count = 0
    for record in records:
        _add_case(spans, manifest, record, f"{key}/{record.case_id}/{record.trial}", began_at, content)
        count += 1
    return count


def _add_case(spans: Spans, manifest: Manifest, record: CaseRecord, key: str, began_at: float, content: bool) -> None:
    failure = record.failure
    about = {
        names.OPERATION: "invoke_workflow",
        names.WORKFLOW_NAME: manifest.pipeline,
        names.VARIANT: manifest.variant,
        names.SPLIT: manifest.split,
        names.CASE: record.case_id,
        names.TRIAL: record.trial,
        names.NOTE: manifest.sample,
        names.FAILURE_OWNER: failure.owner if failure else None,
        names.ERROR_TYPE: failure.kind if failure else None,
    }
    end = began_at + record.duration_s
    with spans.span(f"invoke_workflow {manifest.pipeline}", key, began_at, end, about) as root:
        for number, step in enumerate(record.steps):
            start = began_at + step.start_s
            attributes = _step_attributes(step, content)
            name = f"chat {step.model}" if step.kind == "llm" else step.name
            with spans.span(
                name, f"{key}/{number}", start, start + step.duration_s, attributes, client=step.kind == "llm"
            ) as span:
                if step.error:
                    _mark_failed(span, step.error)
        if record.score is not None:
            result: dict[str, str | float] = {
                names.EVALUATION_NAME: manifest.score,
                names.EVALUATION_VALUE: record.score.value,
            }
            if content and record.score.feedback:
                result[names.EVALUATION_EXPLANATION] = record.score.feedback
            root.add_event(names.EVALUATION, result, timestamp=int(end * _NS))
        if failure is not None:
            _mark_failed(root, failure.message)


def _step_attributes(step: Step, content: bool) -> dict[str, Any]:
    demand = step.demand
    attributes: dict[str, Any] = {names.STEP: step.name, names.ERROR_TYPE: "error" if step.error else None}
    if step.kind != "llm":
        return attributes
    provider, _, model = (step.model or "").partition("/")
    attributes |= {
        names.OPERATION: "chat",
        names.PROVIDER: provider,
        names.REQUEST_MODEL: model or provider,
        names.INPUT_TOKENS: demand.input_tokens,
        names.OUTPUT_TOKENS: demand.output_tokens,
        names.FINISH_REASONS: [step.finish_reason] if step.finish_reason else None,
        names.CACHED: step.cached,
        names.COST: demand.cost_usd,
    }
    if content:
        messages = step.inputs.get("messages", []) if isinstance(step.inputs, dict) else []
        attributes[names.INPUT_MESSAGES] = json.dumps([_message(each) for each in messages], ensure_ascii=False)
        reply = {"role": "assistant", "content": step.output}
        attributes[names.OUTPUT_MESSAGES] = json.dumps(
            [_message(reply) | {"finish_reason": step.finish_reason or "stop"}], ensure_ascii=False
        )
    return attributes


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A chat message in the form of the semantic conventions."""
    text = message.get("content")
    shown = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    return {"role": str(message.get("role")), "parts": [{"type": "text", "content": shown}]}


def _mark_failed(span: Span, message: str) -> None:

    span.set_status(Status(StatusCode.ERROR, message[:500]))


def add_run(spans: Spans, entries: Iterable[Entry], *, key: str, pipeline: str, model: str) -> None:
    """A trace of an optimization: its sessions, and each variant from when it was submitted to its verdict."""
    listed = list(entries)
    if not listed:
        return
    about = {names.OPERATION: "invoke_workflow", names.WORKFLOW_NAME: "fapo optimize", names.PIPELINE: pipeline}
    with spans.span("fapo optimize", key, listed[0].time, listed[-1].time, about):
        for name, part, begun, ended, attributes in _parts(listed, model):
            with spans.span(name, f"{key}/{part}", begun, ended, attributes) as span:
                if attributes.get(names.ERROR_TYPE):
                    _mark_failed(span, str(attributes[names.ERROR_TYPE]))


def _parts(entries: list[Entry], model: str) -> Iterator[tuple[str, str, float, float, dict[str, Any]]]:
    """Name, key, begin, end and attributes of each session and each variant."""
    last = entries[-1].time
    ends = {entry.event.session: entry for entry in entries if isinstance(entry.event, SessionEnded)}
    verdicts = {entry.event.variant: entry for entry in entries if isinstance(entry.event, Decided)}
    for entry in entries:
        match entry.event:
            case SessionStarted() as begun:
                end = ends.get(begun.session)
                yield f"invoke_agent {model}", f"session-{begun.session}", entry.time, end.time if end else last, {
                    names.OPERATION: "invoke_agent", names.AGENT_NAME: "optimizer", names.REQUEST_MODEL: model,
                    names.SESSION: begun.session, names.ISOLATION: begun.isolation, **_session(end),
                }  # fmt: skip
            case Submitted() | Refused() as new:
                verdict = verdicts.get(new.variant)
                refused = isinstance(new, Refused)
                end_s = entry.time if refused else verdict.time if verdict else last
                yield f"variant {new.variant}", f"variant-{new.variant}", entry.time, end_s, {
                    names.VARIANT: new.variant, names.PARENT: new.parent, names.LEVEL: new.level,
                    names.TECHNIQUE: new.technique, names.STEP: new.step, names.HYPOTHESIS: new.hypothesis,
                    **({names.VERDICT: "refused", names.REASON: new.reason} if isinstance(new, Refused)
                       else _verdict(verdict)),
                }  # fmt: skip


def _session(end: Entry | None) -> dict[str, Any]:
    if end is None or not isinstance(end.event, SessionEnded):
        return {names.STATUS: "unfinished"}
    done = end.event
    return {
        names.STATUS: done.status,
        names.INPUT_TOKENS: done.usage.input_tokens,
        names.OUTPUT_TOKENS: done.usage.output_tokens,
        names.COST: done.usage.cost_usd,
        names.ERROR_TYPE: done.status if done.error else None,
    }


def _verdict(entry: Entry | None) -> dict[str, Any]:
    if entry is None or not isinstance(entry.event, Decided):
        return {names.VERDICT: "undecided"}
    done = entry.event
    return {names.VERDICT: done.verdict, names.REASON: done.reason, names.DIFFERENCE: done.difference}
