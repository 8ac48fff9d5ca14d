"""The result of a finished run: the summary, the report and the patch, made from its journal and evaluations."""

from __future__ import annotations

from fapo.evaluation.evaluate import Evaluation
from fapo.optimize.run import BASELINE, Run
from fapo.optimize.validation import detectable_gain
from fapo.records import Split
from fapo.report.patch import unified_patch
from fapo.report.run_summary import (
    AgentFacts,
    Best,
    Gain,
    Means,
    Noise,
    RunSummary,
    Spending,
    TestLookFacts,
    VariantRow,
    run_markdown,
)
from fapo.stats import paired_comparison
from fapo.store.files import write_atomic


async def conclude(run: Run, *, optimizer_model: str) -> RunSummary:
    """Write `report.md` and `best.patch` into the run and return the summary. Pays for nothing: all is on disk."""
    state = run.state
    assert state.search_ended is not None
    best = state.incumbent
    improved = best != BASELINE
    patch = run.directory / "best.patch"
    if improved:
        write_atomic(patch, unified_patch(run.snapshot(BASELINE), run.snapshot(best)))
    last = state.sessions[-1] if state.sessions else None
    summary = RunSummary(
        status=state.finished.status if state.finished else "no_gain",
        why=state.search_ended.why,
        pipeline=run.project.spec.name,
        note=run.project.sample_note,
        baseline=Means(_mean(run, BASELINE, "validation"), _mean(run, BASELINE, "test") if improved else None),
        best=Best(
            best,
            state.level_of(best),
            _mean(run, best, "validation"),
            _mean(run, best, "test") if improved else None,
        ),
        validation_gain=await _gain(run, best, "validation") if improved else None,
        test_gain=await _gain(run, best, "test") if improved else None,
        variants=tuple(_rows(run)),
        optimizer=run.config.optimizer,
        guards=run.project.benchmark.guards.model_dump(mode="json"),
        looks=state.looks,
        searched=state.searched,
        wall_s=round(state.ended_at - state.started_at, 3),
        detectable_gain=detectable_gain(run),
        noise=None if state.noise is None else Noise(state.noise.discordant, state.noise.difference, state.noise.n),
        acceptance=f"{run.config.accept} at {run.config.error:g}",
        test_look=None if state.test is None else TestLookFacts(state.test.look, state.test.alpha, str(run.lock_home)),
        saved=_saved(run),
        levels=state.open_levels,
        usage=Spending(state.usage("task"), state.usage("judge"), state.usage("optimizer")),
        agent=AgentFacts(
            last.sdk if last else "",
            last.cli if last else "",
            optimizer_model,
            state.sessions_started,
            ", ".join(sorted(state.agent_isolation)),
            state.open_ends,
        ),
        isolation=", ".join(sorted({done.isolation for done in state.evaluations.values()})),
        run_dir=str(run.directory),
        best_dir=str(run.variant_dir(best)),
        patch=str(patch) if improved else None,
        report=str(run.directory / "report.md"),
    )
    write_atomic(run.directory / "report.md", run_markdown(summary))
    return summary


def _mean(run: Run, variant: str, split: Split) -> float:
    done = run.state.evaluated(variant, split)
    assert done is not None
    return done.mean


async def _gain(run: Run, best: str, split: Split) -> Gain:
    candidate: Evaluation = await run.evaluate(best, split)
    baseline = await run.evaluate(BASELINE, split)
    found = paired_comparison(candidate.values, baseline.values, clusters=run.project.clusters(split))
    return Gain(found.difference, (found.low, found.high), found.p_two_sided, found.n, found.won, found.lost,
                found.p_greater)  # fmt: skip


def _saved(run: Run) -> float | None:
    """The share of the variants' validation cases that the races did not need; None without a race."""
    races = [done for a in run.state.attempts if (done := run.state.evaluated(a.variant, "validation")) is not None]
    return 1 - sum(done.n for done in races) / sum(done.of for done in races) if races else None


def _rows(run: Run) -> list[VariantRow]:
    rows = []
    for a in run.state.attempts:
        cases = None if a.difference is None else a.cases
        rows.append(VariantRow(a.variant, a.parent, a.level, a.technique, a.step, a.hypothesis, a.verdict, a.reason,
                               a.difference, cases, a.review.status if a.review else None))  # fmt: skip
    return rows
