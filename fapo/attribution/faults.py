"""Faults that a trace shows without knowing the right answer: failures, cut-off, refused, empty outputs."""

from __future__ import annotations

import re

from fapo.attribution.blame import Confidence
from fapo.attribution.verdict import (
    PARAMETER_FIRST,
    PROMPT,
    PROMPT_THEN_STRUCTURE,
    STRUCTURE,
    STRUCTURE_THEN_PROMPT,
    Verdict,
    retrieval_levels,
)
from fapo.attribution.view import CaseView, StepView
from fapo.records import Failure, Level

_REFUSALS = tuple(
    f" {opening} "
    for opening in (
        "i cannot", "i can t", "i can not", "i m sorry", "i am sorry", "sorry", "i m unable", "i am unable",
        "i won t", "i will not", "i m not able", "i am not able", "i apologize", "i apologise", "as an ai",
        "as a language model", "unfortunately i cannot", "unfortunately i can t", "i must decline",
    )
)  # fmt: skip
_LONGEST_REFUSAL = 600
"""Characters. A longer text that opens with an apology went on to answer."""

_CONTEXT = re.compile(
    r"context.?(length|window|limit)|maximum context|too many tokens|prompt is too long", re.IGNORECASE
)
_UNREADABLE = re.compile(
    r"JSONDecodeError|not JSON|not valid JSON|Expecting (value|property|')|Extra data|invalid literal for|"
    r"could not convert string|ValidationError",
    re.IGNORECASE,
)
_FAILURE_LEVELS: dict[str, tuple[Level, ...]] = {
    "placeholder": PROMPT_THEN_STRUCTURE,
    "limit": STRUCTURE,
    "timeout": ("structure", "parameter"),
}


def failure_verdict(view: CaseView, failure: Failure) -> Verdict:
    """The blame for a case that ended in a pipeline failure.

    A reply that could not be read is the replying step's doing, wherever the exception arose; anything else
    is the program's own: error at the step that raised.
    """
    step = _failing_step(view, failure)
    message = _short(failure.message)
    if failure.kind == "invalid_json" or (failure.kind == "raised" and _UNREADABLE.search(failure.message)):
        reply = _last_reply(view, step)
        if reply is not None:
            confidence: Confidence = "high" if failure.kind == "invalid_json" else "medium"
            why = f"the reply of `{reply.name}` could not be read: {message}"
            return output_fault(reply) or Verdict(reply, "format", PROMPT_THEN_STRUCTURE, confidence, why)
    if _CONTEXT.search(failure.message):
        levels: tuple[Level, ...] = ("structure", "parameter")
    else:
        levels = _FAILURE_LEVELS.get(failure.kind, STRUCTURE)
    sure = step is not None or failure.step is not None or failure.kind in _FAILURE_LEVELS
    why = f"the run ended with {failure.kind}: {message}"
    return Verdict(step, "error", levels, "high" if sure else "medium", why, untraced=failure.step)


def _failing_step(view: CaseView, failure: Failure) -> StepView | None:
    """The step that the failure names, else one with an error; of a timeout the step that took longest.

    None too for a named step that never began, such as one without a prompt file.
    """
    named = [step for step in view.steps if step.name == failure.step]
    if failure.step is not None:
        return next((step for step in reversed(named) if step.step.error is not None), named[-1] if named else None)
    if failed := [step for step in view.steps if step.step.error is not None]:
        return failed[-1]
    if failure.kind == "timeout" and view.steps:
        return max(view.steps, key=lambda step: step.step.duration_s)
    return None


def _last_reply(view: CaseView, step: StepView | None) -> StepView | None:
    end = len(view.steps) if step is None else step.index + 1
    return next((s for s in reversed(view.steps[:end]) if s.is_llm and s.step.error is None), None)


def output_fault(step: StepView) -> Verdict | None:
    """Cut off, refused, or nothing at all: what is wrong with a step's output by itself, if anything.

    Cut off comes first, since a model that spends its tokens on thinking replies with nothing.
    """
    if step.hit_limit:
        why = f"the reply of `{step.name}` ended at its token limit"
        return Verdict(step, "truncated", PARAMETER_FIRST, "high", why)
    if step.is_llm and (step.step.finish_reason == "content_filter" or is_refusal(step.output)):
        why = f"`{step.name}` declined: “{_short(str(step.step.output or ''), 80)}”"
        return Verdict(step, "refusal", PROMPT, "high", why)
    if step.step.error is not None:
        why = f"`{step.name}` failed and the run went on without it: {_short(step.step.error)}"
        return Verdict(step, "error", STRUCTURE, "medium", why)
    if step.is_empty:
        why = f"the output of `{step.name}` is empty"
        return Verdict(step, "empty", PROMPT_THEN_STRUCTURE if step.is_llm else STRUCTURE, "high", why)
    return None


def is_refusal(output: str) -> bool:
    """Whether a normalised reply opens by declining, and is short enough to have left it at that."""
    return len(output) <= _LONGEST_REFUSAL and output.startswith(_REFUSALS)


def faults(view: CaseView, usual: frozenset[tuple[str, str]]) -> dict[int, Verdict]:
    """The faults in the outputs of steps, by the place in the run where they show, in order.

    An empty output shows at its step, and at every later step that is empty too.
    Leaves out (step, category) pairs that are `usual` in solved cases too, as where a check that finds
    nothing returns an empty list, and cut-off replies that nothing made use of.
    """
    found: dict[int, Verdict] = {}
    root: Verdict | None = None
    for step in view.steps:
        verdict = output_fault(step)
        if verdict is None or (step.name, verdict.category) in usual:
            continue
        if verdict.category == "truncated" and not _is_used(view, step):
            continue
        if verdict.category == "empty":
            root = root or _as_root(view, verdict, usual)
            verdict = root
        found[step.index] = verdict
    return found


def _is_used(view: CaseView, step: StepView) -> bool:
    if step.is_empty or step is view.decider(view.answer):
        return True
    return any(view.feeds(step, later) for later in view.steps[step.index + 1 :])


def _as_root(view: CaseView, verdict: Verdict, usual: frozenset[tuple[str, str]]) -> Verdict:
    """An empty output with what follows from it and what may lie behind it."""
    step = verdict.step
    assert step is not None
    levels = verdict.levels
    if view.is_retrieval(step):
        levels = retrieval_levels(view, step)
    elif not step.is_llm and any(s.is_llm and view.feeds(s, step) for s in view.steps[: step.index]):
        levels = STRUCTURE_THEN_PROMPT  # a parser that found nothing: its own doing, or the reply's
    empty_later = {s.name for s in view.steps[step.index + 1 :] if s.is_empty and (s.name, "empty") not in usual}
    if not empty_later:
        return Verdict(step, "empty", levels, verdict.confidence, verdict.evidence)
    after = ", ".join(f"`{name}`" for name in sorted(empty_later))
    why = f"the output of `{step.name}` is empty, and so is that of {after}"
    return Verdict(step, "cascade", levels, "high", why)


def _short(text: str, limit: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
