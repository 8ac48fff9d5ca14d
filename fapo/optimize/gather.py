"""The facts of a report, gathered from the directory of a run: its journal, variants and evaluations."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from fapo.config import OptimizeConfig
from fapo.optimize.division import figures_of, losses_of
from fapo.optimize.run_files import RunFiles
from fapo.optimize.summarise import summarise
from fapo.records import BASELINE, Case, CaseRecord, Split
from fapo.report.diffs import side_by_side
from fapo.report.facts import CaseChange, CaseList, MeasuredLoss, Ran, RunReport

MOST_CASES = 10
"""Cases won, and lost, that are shown with their traces."""


def gather(files: RunFiles, *, include_test: bool = False) -> RunReport:
    """All that a report tells of a run. Text of test cases is in it only with `include_test`."""
    best = files.state.incumbent
    before = tuple(files.records(BASELINE, "validation").values())
    after = tuple(files.records(best, "validation").values()) if best != BASELINE else ()
    measured = tuple(MeasuredLoss(done.variant, done.cases, done.by_level) for done in files.state.replays)
    return RunReport(
        summary=summarise(files),
        asked=files.asked,
        ran=_ran(files),
        diff=() if best == BASELINE else side_by_side(files.snapshot(BASELINE), files.snapshot(best)),
        losses=losses_of("validation", _cases(files, "validation"), before, after, measured),
        steps=figures_of("validation", before, after),
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
    digests = {"pipeline": files.frozen.get("baseline_digest"), "score": files.frozen.get("score_digest"),
               **{f"{split} cases": digest for split, digest in files.frozen.get("cases", {}).items()}}  # fmt: skip
    return Ran(state.started_at or last, last, command_of(str(files.source), files.config),
               {name: str(digest) for name, digest in digests.items() if digest}, tuple(notes))  # fmt: skip


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
    place = str(files.evaluation_dir(BASELINE, split))
    return CaseList(split, kind, tuple(shown), len(cases), place)


def _cases(files: RunFiles, split: Split) -> Mapping[str, Case]:
    project = files.project
    return {} if isinstance(project, str) else {case.id: case for case in project.cases(split)}
