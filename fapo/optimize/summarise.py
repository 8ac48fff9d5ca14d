"""The summary of a run from its journal and evaluations, whether it has ended or not."""

from __future__ import annotations

from fapo.optimize.events import Attempt, Decided, Evaluated, Refused, State, Submitted
from fapo.optimize.run_files import RunFiles
from fapo.optimize.validation import detectable_gain
from fapo.records import BASELINE, Split
from fapo.report.run_summary import (
    AgentFacts,
    Best,
    CaseDemand,
    Gain,
    Means,
    Noise,
    RunSummary,
    Spending,
    TestLookFacts,
    VariantRow,
)
from fapo.review.changes import changed_level
from fapo.stats import paired_comparison
from fapo.store.testlock import lock_home


def summarise(files: RunFiles) -> RunSummary:
    """What a run found so far. Test figures are there once test was opened for good, not before."""
    state = files.state
    best, asked = state.incumbent, files.asked
    improved = best != BASELINE
    opened = improved and state.finished is not None
    status, why = _ending(files)
    last = state.sessions[-1] if state.sessions else None
    ended_at = state.ended_at or (files.entries[-1].time if files.entries else 0.0)
    patch = files.directory / "best.patch"
    return RunSummary(
        status=status,
        why=why,
        pipeline=files.pipeline,
        note=asked.note,
        baseline=Means(_mean(state, BASELINE, "validation"), _mean(state, BASELINE, "test") if opened else None),
        best=Best(best, state.level_of(best), _mean(state, best, "validation"),
                  _mean(state, best, "test") if opened else None),
        validation_gain=_gain(files, best, "validation") if improved else None,
        test_gain=_gain(files, best, "test") if opened else None,
        variants=_rows(files),
        optimizer=files.config.optimizer,
        guards=asked.guards,
        looks=state.looks,
        searched=state.searched,
        wall_s=round(max(0.0, ended_at - state.started_at), 3) if state.started_at else 0.0,
        detectable_gain=(
            detectable_gain(state, files.config) if state.evaluated(BASELINE, "validation") is not None else None
        ),
        noise=None if state.noise is None else Noise(state.noise.discordant, state.noise.difference, state.noise.n),
        acceptance=f"{files.config.accept} at {files.config.error:g}",
        test_look=None if state.test is None else TestLookFacts(
            state.test.look, state.test.alpha, str(lock_home(files.source, files.directory.parent))),
        saved=_saved(state),
        levels=state.open_levels,
        usage=Spending(state.usage("task"), state.usage("judge"), state.usage("optimizer")),
        agent=AgentFacts(
            last.sdk if last else "",
            last.cli if last else "",
            asked.optimizer_model or "unknown",
            state.sessions_started,
            ", ".join(sorted(state.agent_isolation)),
            state.open_ends,
        ),
        isolation=", ".join(sorted({done.isolation for done in state.evaluations.values()})),
        run_dir=str(files.directory),
        best_dir=str(files.directory / "variants" / best),
        patch=str(patch) if improved and patch.is_file() else None,
        report=str(files.directory / "report.md"),
        page=str(files.directory / "report.html"),
        changes=tuple(
            f"{file.path} (+{file.added_lines} -{file.removed_lines})"
            for file in changed_level(files.snapshot(BASELINE), files.snapshot(best)).files
        ),
    )  # fmt: skip


def _ending(files: RunFiles) -> tuple[str, str]:
    state = files.state
    if state.finished is not None:
        return state.finished.status, state.search_ended.why if state.search_ended else ""
    if files.is_running:
        return "running", "a fapo process is working on it"
    last = state.sessions[-1] if state.sessions else None
    if state.search_ended is not None:
        return "unfinished", f"the search is over ({state.search_ended.why}), and test was not run to its end"
    if last is not None and last.error and len(state.sessions) == state.sessions_started:
        return "unfinished", f"the last agent session ended with: {last.error}"
    return "unfinished", "it was interrupted"


def _mean(state: State, variant: str, split: Split) -> float | None:
    done = state.evaluated(variant, split)
    return None if done is None else done.mean


def _gain(files: RunFiles, best: str, split: Split) -> Gain | None:
    """Best against baseline over the cases that both have; None before there are any."""
    candidate, baseline = files.values(best, split), files.values(BASELINE, split)
    both = candidate.keys() & baseline.keys()
    if not both:
        return None
    found = paired_comparison({case: candidate[case] for case in both}, {case: baseline[case] for case in both},
                              clusters=files.clusters(split))  # fmt: skip
    return Gain(found.difference, (found.low, found.high), found.p_two_sided, found.n, found.won, found.lost,
                found.p_greater)  # fmt: skip


def _saved(state: State) -> float | None:
    """The share of the variants' validation cases that the races did not need; None without a race."""
    races = [done for a in state.attempts if (done := state.evaluated(a.variant, "validation")) is not None]
    return 1 - sum(done.n for done in races) / sum(done.of for done in races) if races else None


def _rows(files: RunFiles) -> tuple[VariantRow, ...]:
    state = files.state
    begun: dict[str, float] = {}
    decided: dict[str, Decided] = {}
    for entry in files.entries:
        match entry.event:
            case Submitted(variant=variant) | Refused(variant=variant):
                begun[variant] = entry.time - state.started_at
            case Decided() as verdict:
                decided[verdict.variant] = verdict
    means = {BASELINE: _mean(state, BASELINE, "validation")}
    rows = []
    for attempt in state.attempts:
        done = state.evaluated(attempt.variant, "validation")
        row = _row(attempt, done, decided.get(attempt.variant), begun.get(attempt.variant, 0.0),
                   means.get(attempt.parent))  # fmt: skip
        means[attempt.variant] = row.estimate
        rows.append(row)
    return tuple(rows)


def _row(a: Attempt, done: Evaluated | None, verdict: Decided | None, at_s: float, parent: float | None) -> VariantRow:
    whole = done is not None and done.n == done.of
    estimate = done.mean if done is not None and whole else None
    if estimate is None and parent is not None and a.difference is not None:
        estimate = min(1.0, max(0.0, parent + a.difference))
    return VariantRow(
        a.variant, a.parent, a.level, a.technique, a.step, a.hypothesis, a.verdict, a.reason, a.difference,
        None if a.difference is None else a.cases, a.review.status if a.review else None,
        at_s=round(at_s, 1), p=verdict.p if verdict else None, alpha=verdict.alpha if verdict else None,
        mean=done.mean if done else None, estimate=estimate, demand=None if done is None else demand_of(done),
        review_reason=a.review.reason if a.review else "", lesson=a.lesson,
    )  # fmt: skip


def demand_of(done: Evaluated) -> CaseDemand:
    """What one case of an evaluation takes on average, with nothing cached."""
    use, n = done.demand, max(done.n, 1)
    tokens = None if use.input_tokens is None or use.output_tokens is None else use.input_tokens + use.output_tokens
    return CaseDemand(use.llm_calls / n, None if tokens is None else tokens / n,
                      None if use.cost_usd is None else use.cost_usd / n)  # fmt: skip
