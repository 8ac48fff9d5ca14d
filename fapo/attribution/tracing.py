"""Where a gold value was last seen on its way from the inputs to the prediction."""

from __future__ import annotations

from fapo.attribution.blame import Confidence
from fapo.attribution.gold import Value, predicted_text
from fapo.attribution.habits import Habits
from fapo.attribution.text import holds
from fapo.attribution.verdict import PROMPT, PROMPT_THEN_STRUCTURE, STRUCTURE, Verdict, retrieval_levels
from fapo.attribution.view import CaseView, StepView

_SHORT_ANSWER = 40
"""Tokens. A longer answer may name the right value on its way to another one, so only its ends count."""


def trace_value(view: CaseView, value: Value, habits: Habits) -> Verdict:
    """The verdict on one wrong value that can be looked for, from the prediction back to the inputs:

    in the prediction, yet not scored: format. In a reply or later, but not in the prediction: lost behind
    it. Shown to the deciding step: reasoning. Seen before, but not shown to it: lost on the way. Nowhere:
    retrieval miss. Backwards, because what reached a later point was not lost at an earlier one.
    """
    predicted = predicted_text(view, value)
    decider = view.decider(predicted)
    if decider is None:
        return unidentified(None, "no step was traced")
    if holds(predicted, value.forms):
        if concludes(predicted, value):
            why = f"the prediction contains {value}, but was not scored as right"
            return Verdict(
                decider,
                "format",
                PROMPT,
                "high" if len(predicted.split()) <= _SHORT_ANSWER else "medium",
                why,
            )
        return _reasoning(decider, value, "low", "mentions it, but concludes otherwise")
    holders = view.holders(value.forms)
    if holders and holders[-1].index >= decider.index:
        return _lost_behind(view, value, holders[-1], predicted)
    if holds(decider.shown, value.forms):
        if not decider.is_llm:
            why = f"`{decider.name}` was given {value}, and its output does not have it"
            return Verdict(decider, "lost", STRUCTURE, "medium", why)
        return _reasoning(decider, value, "high" if holders else "medium", "answered otherwise")
    return _lost_before(view, value, decider, holders) or missed(view, value, decider, habits)


def concludes(text: str, value: Value) -> bool:
    """Whether a normalised text gives `value` as its answer: a short one by naming it, a long one at either
    end.
    """
    tokens = text.split()
    if len(tokens) <= _SHORT_ANSWER:
        return holds(text, value.forms)
    ends = (tokens[: _SHORT_ANSWER // 2], tokens[-_SHORT_ANSWER // 2 :])
    return any(holds(f" {' '.join(end)} ", value.forms) for end in ends)


def _reasoning(step: StepView, value: Value, confidence: Confidence, how: str) -> Verdict:
    return Verdict(step, "reasoning", PROMPT, confidence, f"`{step.name}` was shown {value} and {how}")


def _lost_behind(view: CaseView, value: Value, holder: StepView, predicted: str) -> Verdict:
    """The value was in the output of the deciding step or of a later one, and is not in the prediction."""
    for step in view.steps[holder.index + 1 :]:
        if holds(step.given, value.forms):
            levels = PROMPT if step.is_llm else STRUCTURE
            why = f"`{holder.name}` had {value}, `{step.name}` was given it and did not pass it on"
            return Verdict(step, "lost", levels, "high", why)
    if not holder.is_llm:
        why = f"`{holder.name}` returned {value}, and the prediction does not have it"
        return Verdict(holder, "lost", STRUCTURE, "medium", why)
    if concludes(holder.output, value) or not predicted:
        why = f"the reply of `{holder.name}` contains {value}, and the prediction made from it does not"
        return Verdict(holder, "format", PROMPT_THEN_STRUCTURE, "medium", why)
    return _reasoning(holder, value, "low", "mentions it, but concludes otherwise")


def _lost_before(view: CaseView, value: Value, decider: StepView, holders: list[StepView]) -> Verdict | None:
    """The value was there before the deciding step and was not shown to it; None if it never was there."""
    if holds(decider.given, value.forms):
        why = f"{value} reached `{decider.name}`, but its prompt leaves it out"
        return Verdict(decider, "lost", PROMPT, "high", why)
    droppers = [
        step
        for step in view.steps[: decider.index]
        if not view.is_retrieval(step) and holds(step.given, value.forms) and not holds(step.output, value.forms)
    ]
    if droppers:
        return _dropped(view, value, decider, droppers)
    if holders:
        last = holders[-1]
        why = f"`{last.name}` returned {value}, and it was not handed on to `{decider.name}`"
        return Verdict(last, "lost", STRUCTURE, "medium", why)
    if holds(view.question, value.forms):
        why = f"the case's inputs hold {value}, and `{decider.name}` was not shown it"
        return Verdict(decider, "lost", STRUCTURE, "medium", why)
    return None


def _dropped(view: CaseView, value: Value, decider: StepView, droppers: list[StepView]) -> Verdict:
    """The last step on the way to the deciding one that had the value and did not pass it on."""
    way = {step.index for step in view.feeders(decider)}
    on_way = [step for step in droppers if step.index in way]
    step = (on_way or droppers)[-1]
    why = f"`{step.name}` was given {value}, and its output, which `{decider.name}` had to work with, lacks it"
    return Verdict(step, "lost", PROMPT if step.is_llm else STRUCTURE, "high" if on_way else "medium", why)


def missed(view: CaseView, value: Value, decider: StepView, habits: Habits) -> Verdict:
    """The value was nowhere. That explains the failure only so far as solved cases had it."""
    confidence = habits.miss_confidence()
    before = [step for step in view.retrievals if step.index <= decider.index]
    if confidence is None or (not before and _is_number(value)):
        why = "nor was the answer in most solved cases" if confidence is None else "it has to be worked out"
        return unidentified(decider, f"`{decider.name}` was never shown {value}, but {why}")
    if view.is_partial:
        confidence = "low"
    if before:
        step = before[-1]
        why = f"`{step.name}` did not bring {value}, so that `{decider.name}` was never shown it"
        return Verdict(step, "retrieval_miss", retrieval_levels(view, step), confidence, why)
    why = f"`{decider.name}` was never shown {value}, and no step looks it up"
    return Verdict(decider, "retrieval_miss", STRUCTURE, confidence if habits.traced else "low", why)


def _is_number(value: Value) -> bool:
    return all(form.strip().lstrip("-").replace(".", "", 1).isdigit() for form in value.forms)


def unidentified(step: StepView | None, evidence: str) -> Verdict:
    return Verdict(step, "unidentified", (), "low", evidence)


def judge_label(view: CaseView, value: Value) -> Verdict:
    """The verdict on a wrong value that cannot be looked for: a bare label, a digit, or prose.

    A label says something only where an answer begins or ends with it, or where nothing but one reply
    stands between the case and the prediction.
    """
    predicted = predicted_text(view, value)
    decider = view.decider(predicted)
    if decider is None:
        return unidentified(None, "no step was traced")
    text = predicted or decider.output
    if len(value.forms) and any(text.startswith(form) or text.endswith(form) for form in value.forms):
        why = f"the answer of `{decider.name}` begins or ends with {value}, but was not scored as right"
        return Verdict(decider, "format", PROMPT, "medium", why)
    if len(view.steps) == 1 and decider.is_llm and holds(decider.shown, value.forms):
        return _reasoning(decider, value, "low", "answered otherwise")
    only = decider if sum(step.is_llm for step in view.steps) == 1 else None
    return unidentified(only, f"{value} is too short, too common or too long to be looked for in the trace")
