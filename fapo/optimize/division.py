"""Where evaluations lose their score and what their steps take, as facts of a report: of one, or of two beside each
other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fapo.attribution.blame import Attribution
from fapo.attribution.rules import attribute
from fapo.records import Case, CaseRecord, Split, Usage
from fapo.report.facts import Arm, Efficiency, Losses, LossReason, MeasuredLoss, StepFigures, StepLoss, StepPair
from fapo.report.step_table import step_rows
from fapo.stats import nearest_rank

MOST_REASONS = 6
"""Reasons for lost score that are shown, of baseline and of best each."""


def losses_of(
    split: Split, known: Mapping[str, Case], before: Sequence[CaseRecord], after: Sequence[CaseRecord],
    measured: tuple[MeasuredLoss, ...] = (),
) -> Losses:  # fmt: skip
    """By rules over traces, where there are any, and labels to judge them by. `after` is empty without a second arm."""
    if not before or not known:
        why = "no case was evaluated yet" if not before else "the labels cannot be read any more"
        return Losses(split, 0, None, None, (), (), measured, missing=why)
    a = attribute(known, before)
    b = attribute(known, after) if after else None
    return Losses(
        split, a.n, _lost(a), None if b is None else _lost(b), _step_losses(a, b),
        (*_reasons("baseline", a), *(_reasons("best", b) if b else ())), measured,
        None if a.retrieval is None else a.retrieval.by,
    )  # fmt: skip


def _lost(found: Attribution) -> float:
    return sum(blame.loss for blame in found.blames) / found.n if found.n else 0.0


def _step_losses(before: Attribution, after: Attribution | None) -> tuple[StepLoss, ...]:
    """Largest first by what the baseline lost; what nobody is to blame for comes last."""
    tables = [_by_step(each) for each in (before, after) if each is not None]
    steps = list(dict.fromkeys(step for table in tables for step in table))
    rows = [
        StepLoss(step, tables[0].get(step, 0.0), tables[1].get(step, 0.0) if len(tables) > 1 else None)
        for step in steps
    ]
    return tuple(sorted(rows, key=lambda row: (row.step is None, -row.baseline, -(row.best or 0.0))))


def _by_step(found: Attribution) -> dict[str | None, float]:
    table: dict[str | None, float] = {}
    for blame in found.blames:
        step = None if blame.category == "unidentified" else blame.step
        table[step] = table.get(step, 0.0) + blame.loss / found.n
    return table


def _reasons(arm: Arm, found: Attribution) -> Iterable[LossReason]:
    for row in found.by_step[:MOST_REASONS]:
        yield LossReason(arm, row.step, row.category, row.levels, row.cases, row.share, row.confidence, row.evidence)


def figures_of(split: Split, before: Sequence[CaseRecord], after: Sequence[CaseRecord]) -> StepFigures:
    """Calls, cost and latency by step and of a case, with nothing cached."""
    old = {(row.step, row.kind): row for row in step_rows(before, uncached=True)}
    new = {(row.step, row.kind): row for row in step_rows(after, uncached=True)}
    keys = dict.fromkeys([*old, *new])
    pairs = tuple(StepPair(step, kind, old.get((step, kind)), new.get((step, kind))) for step, kind in keys)
    return StepFigures(split, pairs, _efficiency(before), _efficiency(after))


def _efficiency(records: Sequence[CaseRecord]) -> Efficiency | None:
    if not records:
        return None
    demand = sum((record.demand for record in records), Usage())
    times = [record.duration_s for record in records]
    n = len(records)
    tokens = (None if demand.input_tokens is None or demand.output_tokens is None
              else (demand.input_tokens + demand.output_tokens) / n)  # fmt: skip
    cost = None if demand.cost_usd is None else demand.cost_usd / n
    return Efficiency(n, demand.llm_calls / n, tokens, cost, nearest_rank(times, 0.5), nearest_rank(times, 0.95))
