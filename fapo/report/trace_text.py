"""One case as readable Markdown: what an agent reads as a file, and a person through the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from fapo.records import Case, CaseRecord, Step

LIMIT = 6000
"""Characters of one value that are shown; a longer one keeps its beginning and its end."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def trace_markdown(record: CaseRecord, case: Case | None = None, *, limit: int = LIMIT) -> str:
    """The trace of one case: how it ended, what was expected if `case` is given, and every step in order.

    Values of more than `limit` characters are cut, with a note of their length.
    """
    parts = [f"# Case {_line(record.case_id)}", _header(record, case)]
    if case is not None:
        parts += ["## Inputs", *_fields(case.inputs, limit)]
        parts += ["## Expected", _block(case.expected, limit)]
    parts += ["## Prediction", *_prediction(record, limit)]
    for number, step in enumerate(record.steps, start=1):
        parts += [f"## Step {number}: {_line(step.name)}", _facts(step), *_inputs(step, limit)]
        parts += ["### Output", _block(step.output, limit)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(record: CaseRecord, case: Case | None) -> str:
    lines = []
    if record.score is not None:
        lines.append(f"score: {record.score.value:g}")
        lines += [f"score of {_line(name)}: {value:g}" for name, value in record.score.breakdown.items()]
    if record.failure is not None:
        failure = record.failure
        where = f" at step {_line(failure.step)}" if failure.step else ""
        lines.append(f"failure ({failure.owner}, {_line(failure.kind)}){where}: {_line(failure.message)}")
    if record.trial:
        lines.append(f"trial: {record.trial}")
    if record.score is not None and record.score.feedback:
        lines.append(f"feedback: {_line(record.score.feedback)}")
    if record.score is not None:
        told = record.score.step_feedback.items()
        lines += [f"feedback on step {_line(name)}: {_line(text)}" for name, text in told]
    usage = record.usage
    lines.append(f"steps: {len(record.steps)}, {record.duration_s:.2f} s, {_usage_text(usage)}")
    if case is not None and case.metadata:
        lines.append(f"metadata: {_line(_json(case.metadata))}")
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
        lines.append(f"model: {_line(step.model)}")
    if step.cached:
        lines.append("reply from the cache: no tokens, no cost")
    elif step.kind == "llm":
        usage = step.usage
        lines.append(f"{_tokens(usage.input_tokens, usage.output_tokens)}, {_cost(usage.cost_usd)}")
    if step.finish_reason is not None:
        lines.append(f"finish reason: {_line(step.finish_reason)}")
    if step.error is not None:
        lines.append(f"error: {_line(step.error)}")
    return "\n".join(f"- {line}" for line in lines)


def _prediction(record: CaseRecord, limit: int) -> Iterator[str]:
    if record.prediction is None:
        yield "none"
        return
    yield _block(record.prediction.output, limit)
    if record.prediction.evidence:
        yield "Evidence:\n\n" + _block("\n".join(record.prediction.evidence), limit)


def _inputs(step: Step, limit: int) -> Iterator[str]:
    """Messages by role for a model step, arguments for a function step, whatever there is for anything
    else.
    """
    inputs = step.inputs
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    if isinstance(messages, list) and all(isinstance(message, dict) for message in messages):
        for message in messages:
            yield f"### Message: {_line(str(message.get('role', 'no role')))}"
            yield _block(message.get("content"), limit)
            if extra := {key: part for key, part in message.items() if key not in ("role", "content")}:
                yield _block(extra, limit)
        return
    yield "### Inputs"
    if isinstance(inputs, dict) and set(inputs) <= {"args", "kwargs"} and _is_call(inputs):
        arguments = {str(number): value for number, value in enumerate(inputs.get("args", []), start=1)}
        yield from _fields({**arguments, **inputs.get("kwargs", {})}, limit)
    else:
        yield _block(inputs, limit)


def _is_call(inputs: dict[str, Any]) -> bool:
    return isinstance(inputs.get("args", []), list) and isinstance(inputs.get("kwargs", {}), dict)


def _fields(values: Any, limit: int) -> Iterator[str]:
    if not isinstance(values, dict) or not values:
        yield _block(values, limit)
        return
    for name, value in values.items():
        yield f"{_line(str(name))}:\n\n{_block(value, limit)}"


def _block(value: Any, limit: int) -> str:
    """A value in a code fence that its own text cannot close."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        text = "\n".join(f"[{number}] {item}" for number, item in enumerate(value, start=1))
    else:
        text = _json(value, indent=2)
    text = _CONTROL.sub("�", _cut(text, limit).replace("\r\n", "\n")).encode("utf-8", "replace").decode()
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text}\n{fence}" if text else "(empty text)"


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 4
    head = limit - tail
    note = f"… [{len(text) - limit:,} of {len(text):,} characters left out] …"
    return f"{text[:head]}\n{note}\n{text[len(text) - tail :]}"


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=repr)


def _line(text: str) -> str:
    """Text on one line, so that it cannot start a heading or a list of its own."""
    return _CONTROL.sub("�", " ".join(text.split())).encode("utf-8", "replace").decode()
