"""Attribution by rules: failing cases divided among steps and levels, with the evidence. Pure functions.

The rules are causal where they can be: they follow gold values through the trace and blame the point where
the value was last seen. What the trace shows by itself (a cut-off, refused or empty output) counts where it
explains what the value's way shows, and only if solved cases do not have it too. Where neither says
anything, the loss is `unidentified`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

from fapo.attribution.blame import Attribution, Blame
from fapo.attribution.clusters import find_clusters, views_by_case
from fapo.attribution.evidence import missing_evidence, names_document, trace_missing, trace_unused
from fapo.attribution.faults import failure_verdict, faults
from fapo.attribution.gold import Gold, Value, read_gold, wrong_values
from fapo.attribution.habits import SAMPLE, Habits, learn_habits
from fapo.attribution.retrieval import retrieval_quality, retrieval_tier
from fapo.attribution.summary import summarise
from fapo.attribution.text import document_titles, holds
from fapo.attribution.tracing import judge_label, trace_value, unidentified
from fapo.attribution.verdict import PROMPT, STRUCTURE, Verdict, retrieval_levels
from fapo.attribution.view import CaseView, retrieval_names
from fapo.records import Case, CaseRecord

_MISSES = ("retrieval_miss", "retrieval_partial")
Part = tuple[Verdict, float]
"""A verdict and its part of the case's loss; the parts of a case sum to 1."""


def attribute(cases: Mapping[str, Case], records: Sequence[CaseRecord], pass_mark: float = 1.0) -> Attribution:
    """Divide the lost score of `records` among steps and levels.

    A case fails whose value is below `pass_mark`; it loses 1 - value. Undecided records are left out and
    counted. A record without its case in `cases` is judged without a gold answer.
    """
    decided = [(record, value) for record in records if (value := record.value) is not None]
    failing = [record for record, value in decided if value < pass_mark]
    blames: list[Blame] = []
    views: list[CaseView] = []
    if failing:
        retrieval = retrieval_names(records)
        solved = (record for record, value in decided if value >= pass_mark)
        habits = learn_habits(_view(record, cases, retrieval) for record in islice(solved, SAMPLE))
        views = [_view(record, cases, retrieval) for record in failing]
        blames = [blame for view in views for blame in judge_case(view, habits)]
    mean = sum(value for _, value in decided) / len(decided) if decided else None
    found = summarise(blames, n=len(decided), undecided=len(records) - len(decided), mean=mean)
    clusters = find_clusters(blames, views_by_case(views))
    return replace(found, retrieval=retrieval_quality(views), clusters=clusters)


def _view(record: CaseRecord, cases: Mapping[str, Case], retrieval: frozenset[str]) -> CaseView:
    case = cases.get(record.case_id) or Case(record.case_id, {}, None)
    return CaseView(record, case, retrieval)


def judge_case(view: CaseView, habits: Habits) -> list[Blame]:
    """The blames of one failing case. Their losses sum to what the case lost."""
    loss = 1 - (view.record.value or 0.0)
    tier = retrieval_tier(view)
    return [
        Blame(
            case_id=view.record.case_id,
            step=verdict.step_name,
            category=verdict.category,
            levels=verdict.levels,
            confidence=verdict.confidence,
            evidence=verdict.evidence,
            loss=loss * part,
            retrieval=None if tier is None else tier[0],
        )
        for verdict, part in _parts(view, habits)
    ]


def _parts(view: CaseView, habits: Habits) -> list[Part]:
    """A failure of the run comes first: there is no answer to trace. Then the values, overruled by faults
    and feedback.
    """
    if view.record.failure is not None:
        return [(failure_verdict(view, view.record.failure), 1.0)]
    found = faults(view, habits.usual)
    parts = [(_overrule(verdict, found), part) for verdict, part in _judge_values(view, habits)]
    return _apply_feedback(view, parts)


def _judge_values(view: CaseView, habits: Habits) -> list[Part]:
    gold = read_gold(view)
    if gold.evidence_is_answer and view.retrievals:
        return _evenly(_judge_evidence(view, gold))
    values = gold.evidence if gold.evidence_is_answer else wrong_values(view, gold)
    if not values:
        return [(unidentified(None, "the case has no gold answer that could be looked for"), 1.0)]
    return [
        (verdict, part / len(values))
        for value in values
        for verdict, part in _evenly(_judge_value(view, value, gold, habits))
    ]


def _evenly(verdicts: Sequence[Verdict]) -> list[Part]:
    return [(verdict, 1 / len(verdicts)) for verdict in verdicts]


def _judge_evidence(view: CaseView, gold: Gold) -> list[Verdict]:
    """Verdicts where the evidence itself is the answer: one for each gold item that the prediction does not
    name.
    """
    prediction = view.record.prediction
    named = () if prediction is None else tuple(document_titles([*prediction.evidence, view.answer_value]))
    wrong = [item for item in gold.evidence if not names_document(named, item)]
    if not wrong:
        last = view.steps[-1]
        return [
            Verdict(
                last,
                "format",
                STRUCTURE,
                "low",
                "the prediction names all gold items, but was not scored as right",
            )
        ]
    missing = missing_evidence(view, gold.evidence)
    return [trace_missing(view, item, gold.evidence) if item in missing else trace_unused(view, item) for item in wrong]


def _judge_value(view: CaseView, value: Value, gold: Gold, habits: Habits) -> list[Verdict]:
    """Verdicts on one wrong value. Gold evidence, where there is any, outranks a guess about the value
    itself.

    A value that stands in the question or the prompt was "shown" without anything having been found, so
    only one that came from a step's output (reasoning with high confidence) speaks against missing
    evidence.
    """
    verdict = trace_value(view, value, habits) if value.is_traceable else judge_label(view, value)
    doubtful = verdict.category in (*_MISSES, "unidentified") or (
        verdict.category == "reasoning" and verdict.confidence != "high"
    )
    if not (doubtful and gold.evidence and view.retrievals):
        return [verdict]
    if missing := missing_evidence(view, gold.evidence):
        return [trace_missing(view, item, gold.evidence) for item in missing]
    step = verdict.step or view.decider(view.answer)
    if step is not None and all(holds(step.shown, item.forms) for item in gold.evidence):
        why = f"`{step.name}` was shown all {len(gold.evidence)} gold items and did not answer {value}"
        return [Verdict(step, "reasoning", PROMPT, "medium", why)]
    return [unidentified(verdict.step, f"all gold items were found, but the way of {value} cannot be followed")]


def _overrule(verdict: Verdict, found: Mapping[int, Verdict]) -> Verdict:
    """A fault in a step's output in place of `verdict`, where it is what made the verdict come true.

    That is a fault of the blamed step itself (a summary that lost a value because it was cut off), or,
    where nothing was found or nothing identified, an earlier one. Elsewhere the value's way shows that the
    run got over the fault.
    """
    if not found:
        return verdict
    own = found.get(verdict.step.index) if verdict.step is not None else None
    if own is not None and (verdict.category != "format" or own.category == "truncated"):
        return own
    first = found[min(found)]
    assert first.step is not None
    if verdict.category == "unidentified":
        return first
    if verdict.category in _MISSES and verdict.step is not None and first.step.index < verdict.step.index:
        return first
    return verdict


def _apply_feedback(view: CaseView, parts: list[Part]) -> list[Part]:
    """The score function's word on steps outranks what the rules say about others; it divides the loss
    evenly.

    Where it names a step that the rules blame too, those verdicts stand, with its words as the evidence.
    """
    score = view.record.score
    told = {name: text.strip() for name, text in score.step_feedback.items() if text.strip()} if score else {}
    steps = {step.name: step for step in view.steps if step.name in told}
    if not steps:
        return parts
    agreed = [(verdict, part) for verdict, part in parts if verdict.step is not None and verdict.step.name in steps]
    if agreed:
        total = sum(part for _, part in agreed)
        return [(_confirmed(verdict, told), part / total) for verdict, part in agreed]
    return _evenly([_told(view, name, told[name]) for name in steps])


def _confirmed(verdict: Verdict, told: Mapping[str, str]) -> Verdict:
    assert verdict.step is not None
    words = " ".join(told[verdict.step.name].split())
    why = f"the score says: {words}"
    return Verdict(verdict.step, verdict.category, verdict.levels or PROMPT, "high", why)


def _told(view: CaseView, name: str, text: str) -> Verdict:
    step = next(step for step in reversed(view.steps) if step.name == name)
    why = f"the score says: {' '.join(text.split())}"
    if view.is_retrieval(step):
        return Verdict(step, "retrieval_miss", retrieval_levels(view, step), "high", why)
    if step.is_llm:
        return Verdict(step, "reasoning", PROMPT, "high", why)
    return Verdict(step, "lost", STRUCTURE, "high", why)
