"""Where the chain of retrievals broke: gold evidence, item by item."""

from __future__ import annotations

from collections.abc import Iterable

from fapo.attribution.blame import Category
from fapo.attribution.gold import Value, evidence_for
from fapo.attribution.text import holds
from fapo.attribution.verdict import PROMPT, STRUCTURE, Verdict, retrieval_levels
from fapo.attribution.view import CaseView, StepView


def names_document(titles: Iterable[tuple[str, bool]], item: Value) -> bool:
    """Whether one of the titles (as `document_titles` gives them) is that of `item`.

    A mention inside another document is no hit; it is what the next hop should have followed.
    """
    return any(title in item.forms or (is_open and title.startswith(item.forms)) for title, is_open in titles)


def brought(step: StepView, item: Value) -> bool:
    return names_document(step.titles, item)


def missing_evidence(view: CaseView, evidence: tuple[Value, ...]) -> list[Value]:
    """The gold evidence that no retrieval returned."""
    return [item for item in evidence if not any(brought(step, item) for step in view.retrievals)]


def trace_missing(view: CaseView, item: Value, evidence: tuple[Value, ...]) -> Verdict:
    """The blame for one item that no retrieval returned. There is at least one retrieval.

    Asked for by name and not returned: that retrieval. In sight of a model that wrote a later query without
    it: that model's prompt. Never in sight: the retrieval that the benchmark declares for it, else the first one
    after the last that found anything new, where the chain broke.
    """
    found = [i for i in evidence if any(brought(step, i) for step in view.retrievals)]
    category: Category = "retrieval_partial" if found else "retrieval_miss"
    tally = f"{len(found)} of {len(evidence)} gold items were found"
    asked = [step for step in view.retrievals if holds(step.given, item.forms)]
    if asked:
        step = asked[-1]
        why = f"{tally}; the query of `{step.name}` names {item}, and its results lack it"
        return Verdict(step, category, retrieval_levels(view, step), "high", why)
    writer = _silent_writer(view, item)
    if writer is not None:
        why = f"{tally}; `{writer.name}` was shown {item} and left it out of what the next query was made from"
        return Verdict(writer, "lost", PROMPT, "medium", why)
    meant = [step for step in view.retrievals if item in evidence_for(view, step.name)]
    step = meant[0] if meant else _break(view, evidence)
    why = f"{tally}; `{step.name}` did not bring {item}"
    return Verdict(step, category, retrieval_levels(view, step), "medium", why)


def _silent_writer(view: CaseView, item: Value) -> StepView | None:
    """The last model step on the way to a later query that was shown the item's name and left it out."""
    on_way = {step.index for retrieval in view.retrievals for step in view.feeders(retrieval)}
    for step in reversed(view.steps):
        if step.is_llm and step.index in on_way and holds(step.shown, item.forms):
            return None if holds(step.output, item.forms) else step
    return None


def _break(view: CaseView, evidence: tuple[Value, ...]) -> StepView:
    known: set[Value] = set()
    last = -1
    for number, step in enumerate(view.retrievals):
        new = {item for item in evidence if brought(step, item)} - known
        if new:
            known |= new
            last = number
    return view.retrievals[min(last + 1, len(view.retrievals) - 1)]


def _kept(step: StepView, item: Value) -> bool:
    """Whether the item is in a step's output: named in a reply, as a document of its own in anything else."""
    return holds(step.output, item.forms) if step.is_llm else brought(step, item)


def trace_unused(view: CaseView, item: Value) -> Verdict:
    """The blame for an item that was retrieved and is not in the prediction."""
    holder = next(step for step in reversed(view.retrievals) if brought(step, item))
    for step in view.steps[holder.index + 1 :]:
        if holds(step.given, item.forms) and not _kept(step, item):
            why = f"`{holder.name}` brought {item}, `{step.name}` was given it and did not pass it on"
            return Verdict(step, "lost", PROMPT if step.is_llm else STRUCTURE, "medium", why)
    why = f"`{holder.name}` brought {item}, and the prediction does not name it"
    return Verdict(holder, "lost", STRUCTURE, "medium", why)
