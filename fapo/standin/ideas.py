"""What there is to try, in order: the ideas that fit where the score is lost and which levels are open."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from fapo.standin.conversation import Blamed, Findings, Status, idea_key
from fapo.standin.edits import (
    PROMPT_EDITS,
    Facts,
    PromptEdit,
    cool_sampling,
    double_counts,
    double_max_tokens,
    edits_for,
)
from fapo.standin.structure import Files, Plan, structural_plans

SPEC_PATH = "pipeline/pipeline.yaml"

_NOTHING_KNOWN = Blamed(None, "unidentified", (), 1.0)
_COUNTS_MATTER = ("retrieval_miss", "retrieval_partial", "empty", "unidentified")


@dataclass(frozen=True, slots=True)
class Idea:
    """One thing to try, and the level that it needs."""

    level: str
    plan: Plan

    @property
    def key(self) -> tuple[str, str]:
        return idea_key(self.plan.technique, self.plan.step)


def ideas(status: Status, findings: Findings, *, every_edit: bool, stuck: Container[str | None] = ()) -> Iterator[Idea]:
    """All ideas for the open levels: where these can mend most comes first, and there the level named first.

    After them come honest tries with the open levels where attribution does not expect them to help, and with model
    steps that it does not blame. Prompts of steps that are `stuck` come behind what else there is of each kind.
    `every_edit` adds the prompt edits that are made for other categories. An idea may come twice.
    """
    blames = sorted(
        [blame for blame in findings.by_step if blame.share > 0] or [_NOTHING_KNOWN],
        key=lambda blame: (not status.open_levels.intersection(blame.levels), -blame.share),
    )
    blamed = {blame.step for blame in blames}
    others = [Blamed(info.name, "unidentified", (), 0.0) for info in status.steps if info.prompt]
    addressing = [(blame, level) for blame in blames for level in blame.levels]
    honest_tries = [
        (blame, level)
        for blame in (*blames, *(other for other in others if other.step not in blamed))
        for level in ("prompt", "parameter", "structure")
    ]
    for tries in (addressing, honest_tries):
        tries.sort(key=lambda each: each[1] == "prompt" and each[0].step in stuck)
    for blame, level in (*addressing, *honest_tries):
        if level in status.open_levels:
            yield from (Idea(level, plan) for plan in _plans(blame, level, status, every_edit))


def _plans(blame: Blamed, level: str, status: Status, every_edit: bool) -> Iterator[Plan]:
    match level:
        case "prompt":
            yield from _prompt_plans(blame, status, every_edit)
        case "parameter":
            yield from _parameter_plans(blame, status)
        case "structure":
            yield from structural_plans(blame, status)


def _prompt_plans(blame: Blamed, status: Status, every_edit: bool) -> Iterator[Plan]:
    target = _prompt_for(blame.step, status)
    if target is None:
        return
    step, path = target
    models = [info.name for info in status.steps if info.prompt]
    facts = Facts(step, blame.category, final=step == models[-1])
    fitting = edits_for(blame.category)
    others = [edit for edit in PROMPT_EDITS if edit not in fitting] if every_edit else []
    for edit in (*fitting, *others):

        def change(text: str, edit: PromptEdit = edit) -> str | None:
            return edit.apply(text, facts)

        yield _plan(edit.technique, step, edit.hypothesis.format(step=step), path, change)


def _parameter_plans(blame: Blamed, status: Status) -> Iterator[Plan]:
    target = _prompt_for(blame.step, status)
    step = blame.step or (target[0] if target else "")
    if blame.category in _COUNTS_MATTER:
        why = f"what `{step}` needs may stand just below the cut; twice the count reaches further down"
        yield _plan("larger k", step, why, SPEC_PATH, double_counts)
    if target is None:
        return
    step, path = target
    if blame.category == "truncated":
        yield _plan("more tokens", step, f"the reply of `{step}` hits its token limit", path, double_max_tokens)
    why = f"sampling at random makes `{step}` err on cases that it can solve"
    yield _plan("temperature 0", step, why, path, cool_sampling)


def _plan(technique: str, step: str, hypothesis: str, path: str, change: Callable[[str], str | None]) -> Plan:
    """A plan that changes one file."""

    def apply(files: Files) -> dict[str, str] | None:
        new = change(files[path])
        return None if new is None else {path: new}

    return Plan(technique, step, hypothesis, (path,), apply)


def _prompt_for(step: str | None, status: Status) -> tuple[str, str] | None:
    """The model step, with its prompt, that can do something about a loss at `step`.

    That is the step itself, for a function step the model step that feeds it or else follows it, else the last.
    """
    models = [(info.name, info.prompt) for info in status.steps if info.prompt]
    place = next((index for index, info in enumerate(status.steps) if info.name == step), None)
    if not models or place is None:
        return models[-1] if models else None
    before = [(info.name, info.prompt) for info in status.steps[: place + 1] if info.prompt]
    return before[-1] if before else models[0]
