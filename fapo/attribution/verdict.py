"""What one rule says about one failing case."""

from __future__ import annotations

from dataclasses import dataclass

from fapo.attribution.blame import Category, Confidence
from fapo.attribution.view import CaseView, StepView
from fapo.records import Level

PROMPT: tuple[Level, ...] = ("prompt",)
PROMPT_THEN_STRUCTURE: tuple[Level, ...] = ("prompt", "structure")
STRUCTURE: tuple[Level, ...] = ("structure",)
STRUCTURE_THEN_PROMPT: tuple[Level, ...] = ("structure", "prompt")
PARAMETER_FIRST: tuple[Level, ...] = ("parameter", "prompt")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A blame before it is given its part of the loss.

    `step` is None where no step can be named, or where the named one left no trace: then `untraced` is its
    name.
    """

    step: StepView | None
    category: Category
    levels: tuple[Level, ...]
    confidence: Confidence
    evidence: str
    untraced: str | None = None

    @property
    def step_name(self) -> str | None:
        return self.untraced if self.step is None else self.step.name


def retrieval_levels(view: CaseView, step: StepView) -> tuple[Level, ...]:
    """Structure, since other text must be brought in; a parameter may do where the step takes a number such as k,
    a prompt where a model wrote its query.
    """
    levels: list[Level] = ["structure"]
    if step.has_number:
        levels.append("parameter")
    if any(earlier.is_llm and view.feeds(earlier, step) for earlier in view.steps[: step.index]):
        levels.append("prompt")
    return tuple(levels)
