"""The facts of a report, gathered from the directory of a run: its journal, variants and evaluations."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fapo.attribution.blame import Attribution
from fapo.attribution.rules import attribute
from fapo.config import OptimizeConfig
from fapo.optimize.run import BASELINE
from fapo.optimize.run_files import RunFiles
from fapo.optimize.summarise import summarise
from fapo.records import Case, CaseRecord, Split, Usage
from fapo.report.diffs import side_by_side
from fapo.report.facts import (
    Arm,
    CaseChange,
    CaseList,
    Efficiency,
    Losses,
    LossReason,
    MeasuredLoss,
    Ran,
    RunReport,
    StepFigures,
    StepLoss,
    StepPair,
)
from fapo.report.step_table import step_rows
from fapo.stats import nearest_rank

MOST_CASES = 10
"""Cases won, and lost, that are shown with their traces."""
MOST_REASONS = 6
"""Reasons for lost score that are shown, of baseline and of best each."""


def gather(files: RunFiles, *, include_test: bool = False) -> RunReport:
    """All that a report tells of a run. Text of test cases is in it only with `include_test`."""
    best = files.state.incumbent
    return RunReport(
        summary=summarise(files),
        asked=files.asked,
        ran=_ran(files),
        diff=() if best == BASELINE else side_by_side(files.snapshot(BASELINE), files.snapshot(best)),
        losses=_losses(files),
        steps=_step_figures(files),
        cases=tuple(_case_lists(files, include_test)),
        includes_test=include_test,
    )


def _ran(files: RunFiles) -> Ran:
    state = files.state
    notes = [f"Agent session {done.session} ended as `{done.status}`: {done.error}" for done in state.sessions
             if done.error]  # fmt: skip
    if isinstance(files.project, str):
        notes.append(f"The inputs of the run cannot be opened any more, so labels are left out: {files.project}")
    last = files.entries[-1].time if files.entries else 0.0
    named = {"pipeline": "baseline_digest", "score": "score_digest"}
    digests = {name: str(files.frozen.get(key, "")) for name, key in named.items()}
    digests |= {f"{split} cases": str(digest) for split, digest in files.frozen.get("cases", {}).items()}
    return Ran(state.started_at or last, last, command_of(str(files.source), files.config), digests, tuple(notes))


def command_of(source: str, config: OptimizeConfig) -> str:
    """The command line that asks for the same again."""
    words = ["fapo", "optimize", shlex.quote(source)]
    defaults = OptimizeConfig.model_validate({})
    for name, value in config:
        default = getattr(defaults, name)
        option = "--" + name.replace("_", "-")
        if value == default or value is None:
            continue
        if name in ("full", "paper_rules"):
            words.append(option)
        elif isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [option, shlex.quote(",".join(value) if isinstance(value, tuple) else f"{value}")]
    return " ".join(words)


def _losses(files: RunFiles) -> Losses:
    """By rules over the validation traces of both, where labels can still be read."""
    best = files.state.incumbent
    measured = tuple(MeasuredLoss(done.variant, done.cases, done.by_level) for done in files.state.replays)
    known = _cases(files, "validation")
    before = files.records(BASELINE, "validation")
    if not before or not known:
        why = "the baseline was not evaluated yet" if not before else "the labels cannot be read any more"
        return Losses("validation", 0, None, None, (), (), measured, missing=why)
    after = files.records(best, "validation") if best != BASELINE else {}
    found = {"baseline": attribute(known, tuple(before.values()))}
    if after:
        found["best"] = attribute(known, tuple(after.values()))
    a, b = found["baseline"], found.get("best")
    return Losses(
        "validation", a.n, _lost(a), None if b is None else _lost(b), _step_losses(a, b),
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


def _step_figures(files: RunFiles) -> StepFigures:
    best = files.state.incumbent
    before = tuple(files.records(BASELINE, "validation").values())
    after = tuple(files.records(best, "validation").values()) if best != BASELINE else ()
    old = {(row.step, row.kind): row for row in step_rows(before, uncached=True)}
    new = {(row.step, row.kind): row for row in step_rows(after, uncached=True)}
    keys = dict.fromkeys([*old, *new])
    pairs = tuple(StepPair(step, kind, old.get((step, kind)), new.get((step, kind))) for step, kind in keys)
    return StepFigures("validation", pairs, _efficiency(before), _efficiency(after))


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


def _case_lists(files: RunFiles, include_test: bool) -> Iterable[CaseList]:
    best = files.state.incumbent
    splits: tuple[Split, ...] = ("validation", "test") if include_test else ("validation",)
    for split in splits:
        before = files.records(BASELINE, split)
        if best == BASELINE:
            failing = [case for case, record in before.items() if (record.value or 0.0) < 1.0]
            yield _case_list(files, split, "failing", failing, {})
            continue
        after = files.records(best, split)
        gains = {case: (after[case].value or 0.0) - (before[case].value or 0.0) for case in before if case in after}
        ranked = sorted(gains, key=lambda case: -abs(gains[case]))
        yield _case_list(files, split, "won", [case for case in ranked if gains[case] > 0], after)
        yield _case_list(files, split, "lost", [case for case in ranked if gains[case] < 0], after)


def _case_list(
    files: RunFiles, split: Split, kind: Literal["won", "lost", "failing"], cases: Sequence[str],
    after: Mapping[str, CaseRecord],
) -> CaseList:  # fmt: skip
    known, before = _cases(files, split), files.records(BASELINE, split)
    shown = (CaseChange(case, known.get(case), before[case], after.get(case)) for case in cases[:MOST_CASES])
    return CaseList(split, kind, tuple(shown), len(cases))


def _cases(files: RunFiles, split: Split) -> Mapping[str, Case]:
    project = files.project
    return {} if isinstance(project, str) else {case.id: case for case in project.cases(split)}
