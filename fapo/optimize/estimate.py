"""What a search would take, judged by a few cases of the baseline, before the rest of it is paid for."""

from __future__ import annotations

import shutil
from dataclasses import replace

from fapo.evaluation.dry_run import DryRun, dry_run
from fapo.optimize.events import Estimated
from fapo.optimize.run import Run
from fapo.records import BASELINE

SAMPLED = 3
FOLDER = "estimate"


async def estimate(run: Run) -> None:
    """Run a few validation cases of the baseline once, and log what all that is planned would take.

    Their replies are in the cache, so that they are not paid for again. Raises as an evaluation does.
    """
    if run.state.estimate is not None or run.state.evaluated(BASELINE, "validation") is not None:
        return
    folder = run.directory / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    plan = replace(run.plan(BASELINE, "validation"), directory=folder)
    observer = run.narrator.evaluating("a few cases first", SAMPLED)
    try:
        found = await dry_run(plan, run.gateway, observer, sample=SAMPLED)
    finally:
        run.narrator.evaluated()
        shutil.rmtree(folder, ignore_errors=True)
    factor = _planned_runs(run) / (found.cases * found.trials)
    cost, high = _dollars(found, factor)
    calls = round(found.calls.expected * factor)
    limits = (("--budget-usd", run.config.budget_usd, cost), ("--max-calls", run.config.max_calls, calls))
    exceeded = tuple(name for name, limit, needed in limits if limit is not None and needed and needed > limit)
    run.log(Estimated(calls, cost, high, exceeded, found.usage))


def _planned_runs(run: Run) -> int:
    """Runs of a case: the baseline's on validation, with its second arm, and on train; each variant's on validation and
    train; baseline and best on test. An upper bound, since races save some and not all variants are tried on train."""
    config = run.config
    train, validation, test = (len(run.project.cases(split)) for split in ("train", "validation", "test"))
    arms = 1 + config.noise_floor + config.max_variants
    return config.trials * (arms * validation + 2 * test) + (1 + config.max_variants) * train


def _dollars(found: DryRun, factor: float) -> tuple[float | None, float | None]:
    """Expected, and the upper end of its range; None is unknown."""
    if found.cost_usd is None:
        return None, None
    high = found.cost_usd.high
    return found.cost_usd.expected * factor, None if high is None else high * factor
