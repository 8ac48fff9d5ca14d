"""A sweep over settings, on train: fapo's own search at the parameter level, within a bound on calls."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from fapo.errors import UsageError
from fapo.evaluation.evaluate import Evaluation
from fapo.optimize.gate import Gate
from fapo.optimize.run import Run
from fapo.optimize.workspace import Workspace
from fapo.pipeline.settings import with_settings
from fapo.stats import PairedComparison, paired_comparison

MOST_COMBINATIONS = 24
FIRST_RUNG = 0.25
"""The share of train on which all combinations run; each further rung has twice the cases and the better half."""
LEAST_CASES = 20
BUDGET = 4.0
"""Model calls that a sweep may make, in evaluations of all train cases by the incumbent, where none are named."""


@dataclass(frozen=True, slots=True)
class Combination:
    """One combination of settings. `mean` is over the first `n` train cases, `against` the workspace on the same."""

    settings: Mapping[str, Any]
    n: int
    mean: float
    failures: int
    against: PairedComparison


@dataclass(frozen=True, slots=True)
class Sweep:
    """All combinations, best first: those that ran on more cases before others. `calls` were paid for."""

    combinations: tuple[Combination, ...]
    calls: int
    ended_early: bool


async def sweep(
    run: Run, gate: Gate, workspace: Workspace, values: Mapping[str, Sequence[Any]], *, max_calls: int | None
) -> Sweep:
    """Try all combinations of `values`, by successive halving (Jamieson and Talwalkar, 2016, arXiv 1502.07943).

    The workspace is not changed. Raises UsageError for settings that there are not, for too many combinations, and
    where the parameter level is closed.
    """
    if "parameter" not in run.state.open_levels:
        raise UsageError("the parameter level is closed; request_level asks for it")
    if not values or prod(map(len, values.values())) > MOST_COMBINATIONS or not all(values.values()):
        raise UsageError(f"give each setting some values, {MOST_COMBINATIONS} combinations at most")
    base = gate.bring_up_to_date(workspace)
    grid = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    drafts = {gate.draft(with_settings(base, settings)): settings for settings in grid}
    own = gate.draft(base)
    total = len(run.project.cases("train"))
    limit = max_calls if max_calls is not None else await _default_budget(run)
    n = min(total, max(LEAST_CASES, ceil(FIRST_RUNG * total)))
    found: dict[str, Combination] = {}
    calls, left = 0, list(drafts)
    while left:
        against = await _on(run, own, n, total)
        for draft in left:
            if calls >= limit:
                return _sorted(found, calls, ended_early=True)
            evaluation = await _on(run, draft, n, total)
            calls += evaluation.usage.llm_calls
            found[draft] = _combination(drafts[draft], evaluation, against)
        if n == total or len(left) == 1:
            break
        left = sorted(left, key=lambda draft: -found[draft].mean)[: ceil(len(left) / 2)]
        n = min(total, 2 * n)
    return _sorted(found, calls, ended_early=False)


async def _on(run: Run, draft: str, n: int, total: int) -> Evaluation:
    return await run.evaluate(draft, "train", limit=None if n == total else n)


async def _default_budget(run: Run) -> int:
    done = await run.evaluate(run.state.incumbent, "train")
    return ceil(BUDGET * done.demand.llm_calls)


def _combination(settings: Mapping[str, Any], evaluation: Evaluation, against: Evaluation) -> Combination:
    compared = paired_comparison(evaluation.values, against.values)
    failures = len(evaluation.failed("pipeline"))
    return Combination(settings, len(evaluation.values), evaluation.mean, failures, compared)


def _sorted(found: Mapping[str, Combination], calls: int, *, ended_early: bool) -> Sweep:
    return Sweep(tuple(sorted(found.values(), key=lambda each: (-each.n, -each.mean))), calls, ended_early)
