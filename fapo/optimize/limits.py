"""When a search has to end, and what of the budget is left."""

from __future__ import annotations

import time

from fapo.optimize.run import BASELINE, Run

REFUSALS_PER_VARIANT = 3
"""Submissions that review may turn down for each that validation may be asked about."""


def why_stop(run: Run) -> tuple[str, str] | None:
    """The status and the reason to end the search now, or None."""
    state, config = run.state, run.config
    validated = state.evaluated(state.incumbent, "validation")
    if validated is not None and validated.n == validated.of:
        if config.target is not None and validated.mean >= config.target:
            return "target", f"validation reached {validated.mean:.3f}, target {config.target:.3f}"
        if validated.mean >= 1.0:
            return "target", "validation is at 1.000: nothing is left to gain"
    if state.looks >= config.max_variants:
        return "variants", f"all {config.max_variants} variants were tried"
    if config.search_calls is not None and state.searched >= config.search_calls:
        return "calls", f"the search has made {state.searched:,} task-model calls of {config.search_calls:,}"
    if len(state.attempts) - state.looks >= REFUSALS_PER_VARIANT * config.max_variants:
        return "variants", "review turned down too many submissions"
    if config.max_minutes is not None and time.time() - state.started_at >= 60 * config.max_minutes:
        return "time", f"{config.max_minutes:g} minutes are over"
    left = dollars_left(run)
    if left is not None and left <= test_reserve(run):
        return "budget", f"what is left of ${config.budget_usd:g} is kept for the test split"
    return None


def dollars_left(run: Run) -> float | None:
    """What is left of the budget, or None where there is none or spending is unknown."""
    spent = (run.state.usage("task") + run.state.usage("judge") + run.state.usage("optimizer")).cost_usd
    if run.config.budget_usd is None or spent is None:
        return None
    return run.config.budget_usd - spent


def test_reserve(run: Run) -> float:
    """What test will cost, judged by validation, for baseline and best."""
    cost = 0.0
    for variant in (BASELINE, run.state.incumbent):
        done = run.state.evaluated(variant, "validation")
        paid = (done.paid + done.judge).cost_usd if done else None
        cost += (paid or 0.0) * len(run.project.cases("test")) / max(done.n if done else 1, 1)
    return 1.2 * cost
