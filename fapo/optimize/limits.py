"""When a search has to end, and what of its limits is left."""

from __future__ import annotations

import time
from math import ceil

from fapo.llm.budget import Kept
from fapo.optimize.run import Run
from fapo.records import BASELINE, Usage

REFUSALS_PER_VARIANT = 3
"""Submissions that review may turn down for each that validation may be asked about."""
RESERVE = 1.2
"""What is kept for test, over what it should take by validation: its cases may be longer."""


def why_stop(run: Run) -> tuple[str, str] | None:
    """The status and the reason to end the search now, or None."""
    return _target(run) or _tries(run) or _calls(run) or _time_and_money(run)


def _target(run: Run) -> tuple[str, str] | None:
    validated, target = run.state.evaluated(run.state.incumbent, "validation"), run.config.target
    if validated is None or validated.n < validated.of:
        return None
    if target is not None and validated.mean >= target:
        return "target", f"validation reached {validated.mean:.3f}, target {target:.3f}"
    if validated.mean >= 1.0:
        return "target", "validation is at 1.000: nothing is left to gain"
    return None


def _tries(run: Run) -> tuple[str, str] | None:
    state, config = run.state, run.config
    if state.looks >= config.max_variants:
        return "variants", f"all {config.max_variants} variants were tried"
    if len(state.attempts) - state.looks >= REFUSALS_PER_VARIANT * config.max_variants:
        return "variants", "review turned down too many submissions"
    if config.patience is not None and state.stale >= config.patience:
        levels = ", ".join(state.open_levels)
        return "plateau", f"{state.stale} variants in a row were rejected, with these levels open: {levels}"
    return None


def _calls(run: Run) -> tuple[str, str] | None:
    state, config = run.state, run.config
    if config.search_calls is not None and state.searched >= config.search_calls:
        return "calls", f"the search has made {state.searched:,} task-model calls of {config.search_calls:,}"
    paid, kept = state.usage("task") + state.usage("judge"), test_reserve(run)
    if config.max_calls is not None and paid.llm_calls + kept.calls >= config.max_calls:
        return "calls", f"what is left of {config.max_calls:,} model calls is kept for the test split"
    tokens = _tokens(paid)
    if config.max_tokens is not None and tokens is not None and tokens + kept.tokens >= config.max_tokens:
        return "tokens", f"what is left of {config.max_tokens:,} tokens is kept for the test split"
    return None


def _time_and_money(run: Run) -> tuple[str, str] | None:
    minutes = run.config.max_minutes
    if minutes is not None and time.time() - run.state.started_at >= 60 * minutes:
        return "time", f"{minutes:g} minutes are over"
    left = dollars_left(run)
    if left is not None and left <= test_reserve(run).usd:
        return "budget", f"what is left of ${run.config.budget_usd:g} is kept for the test split"
    return None


def dollars_left(run: Run) -> float | None:
    """What is left of the budget, or None where there is none or spending is unknown."""
    spent = (run.state.usage("task") + run.state.usage("judge") + run.state.usage("optimizer")).cost_usd
    if run.config.budget_usd is None or spent is None:
        return None
    return run.config.budget_usd - spent


def dollars_to_search(run: Run) -> float | None:
    """What the search may still spend of the budget: test is kept out of it. More than 0, as a limit has to be."""
    left = dollars_left(run)
    return None if left is None else max(left - test_reserve(run).usd, 1e-4)


def test_reserve(run: Run) -> Kept:
    """What test will take where nothing is cached, judged by validation, for baseline and best; and what is missing of
    the best's validation."""
    usd, calls, tokens = 0.0, 0.0, 0.0
    for variant in (BASELINE, run.state.incumbent):
        done = run.state.evaluated(variant, "validation")
        if done is None:
            continue
        share = RESERVE * (len(run.project.cases("test")) + done.of - done.n) / max(done.n, 1)
        taken = done.demand + done.judge
        usd += share * (taken.cost_usd or (done.paid + done.judge).cost_usd or 0.0)
        calls += share * taken.llm_calls
        tokens += share * (_tokens(taken) or 0)
    return Kept(usd, ceil(calls), ceil(tokens))


def _tokens(usage: Usage) -> int | None:
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return usage.input_tokens + usage.output_tokens
