"""One case as readable Markdown: what an agent reads as a file, and a person through the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fapo.records import Case, CaseRecord, Step
from fapo.report.trace_parts import InputPart, field_parts, input_parts, json_text, one_line, value_text

LIMIT = 6000
"""Characters of one value that are shown; a longer one keeps its beginning and its end."""


def trace_markdown(record: CaseRecord, case: Case | None = None, *, limit: int = LIMIT) -> str:
    """The trace of one case: how it ended, what was expected if `case` is given, and every step in order.

    Values of more than `limit` characters are cut, with a note of their length.
    """
    parts = [f"# Case {one_line(record.case_id)}", _header(record, case)]
    if case is not None:
        parts += ["## Inputs", *(_part(part, limit) for part in field_parts(case.inputs))]
        parts += ["## Expected", _block(case.expected, limit)]
    parts += ["## Prediction", *_prediction(record, limit)]
    for number, step in enumerate(record.steps, start=1):
        parts += [f"## Step {number}: {one_line(step.name)}", _facts(step), *_inputs(step, limit)]
        parts += ["### Output", _block(step.output, limit)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(record: CaseRecord, case: Case | None) -> str:
    lines = []
    if record.score is not None:
        lines.append(f"score: {record.score.value:g}")
        lines += [f"score of {one_line(name)}: {value:g}" for name, value in record.score.breakdown.items()]
    if record.failure is not None:
        failure = record.failure
        where = f" at step {one_line(failure.step)}" if failure.step else ""
        lines.append(f"failure ({failure.owner}, {one_line(failure.kind)}){where}: {one_line(failure.message)}")
    if record.trial:
        lines.append(f"trial: {record.trial}")
    if record.score is not None and record.score.feedback:
        lines.append(f"feedback: {one_line(record.score.feedback)}")
    if record.score is not None:
        told = record.score.step_feedback.items()
        lines += [f"feedback on step {one_line(name)}: {one_line(text)}" for name, text in told]
    usage = record.usage
    lines.append(f"steps: {len(record.steps)}, {record.duration_s:.2f} s, {_usage_text(usage)}")
    if case is not None and case.metadata:
        lines.append(f"metadata: {one_line(json_text(case.metadata))}")
    return "\n".join(f"- {line}" for line in lines)


def _usage_text(usage: Any) -> str:
    calls = f"{usage.llm_calls} model calls paid for, {usage.cached_calls} from the cache"
    return f"{calls}, {_tokens(usage.input_tokens, usage.output_tokens)}, {_cost(usage.cost_usd)}"


def _tokens(inputs: int | None, outputs: int | None) -> str:
    shown = ["unknown" if count is None else f"{count:,}" for count in (inputs, outputs)]
    return f"tokens {shown[0]} in, {shown[1]} out"


def _cost(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"${cost:.6f}"


def _facts(step: Step) -> str:
    lines = [f"kind: {step.kind}, from {step.start_s:.2f} s, took {step.duration_s:.3f} s"]
    if step.model is not None:
        role = f", role {one_line(step.role)}" if step.role is not None else ""
        lines.append(f"model: {one_line(step.model)}{role}")
    if step.cached:
        lines.append("reply from the cache: no tokens, no cost")
    elif step.kind == "llm":
        usage = step.usage
        lines.append(f"{_tokens(usage.input_tokens, usage.output_tokens)}, {_cost(usage.cost_usd)}")
    if step.finish_reason is not None:
        lines.append(f"finish reason: {one_line(step.finish_reason)}")
    if step.error is not None:
        lines.append(f"error: {one_line(step.error)}")
    return "\n".join(f"- {line}" for line in lines)


def _prediction(record: CaseRecord, limit: int) -> Iterator[str]:
    if record.prediction is None:
        yield "none"
        return
    yield _block(record.prediction.output, limit)
    if record.prediction.evidence:
        yield "Evidence:\n\n" + _block("\n".join(record.prediction.evidence), limit)


def _inputs(step: Step, limit: int) -> Iterator[str]:
    parts = tuple(input_parts(step.inputs))
    if parts and not parts[0].is_message:
        yield "### Inputs"
        yield from (_part(part, limit) for part in parts)
        return
    for part in parts:
        if part.label:
            yield f"### Message: {one_line(part.label)}"
        yield _block(part.value, limit)


def _part(part: InputPart, limit: int) -> str:
    return f"{one_line(part.label)}:\n\n{_block(part.value, limit)}" if part.label else _block(part.value, limit)


def _block(value: Any, limit: int) -> str:
    """A value in a code fence that its own text cannot close."""
    text = value_text(value, limit)
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text}\n{fence}" if text else "(empty text)"
