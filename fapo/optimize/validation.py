"""What validation is asked: the noise floor first, then about each variant, in a race; and what it can show at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fapo import stats
from fapo.acceptance import next_level
from fapo.config import OptimizeConfig
from fapo.optimize.events import Decided, NoiseFloor, State
from fapo.optimize.judge import Arm, Question, judge, race_order, settled
from fapo.optimize.run import BASELINE, Run
from fapo.records import Usage
from fapo.store.variants import snapshot_digest


async def noise_floor(run: Run) -> NoiseFloor:
    """How far the baseline differs from itself, by a second arm, whose replies the cache has not."""
    if run.state.noise is None:
        first = (await run.evaluate(BASELINE, "validation")).values
        second = (await run.evaluate(BASELINE, "validation", trial=1)).values
        changed = [second[case] - first[case] for case in first]
        differ = sum(abs(change) > 1e-12 for change in changed) / len(changed)
        run.log(NoiseFloor(differ, sum(changed) / len(changed), len(changed)))
    assert run.state.noise is not None
    return run.state.noise


async def decide(run: Run, variant: str) -> Decided:
    """Ask validation about a submitted variant, and log the verdict."""
    parent = run.state.attempt(variant).parent
    cases = run.project.cases("validation")
    clusters = run.project.clusters("validation")
    question = Question(variant, level(run), run.state.tolerated, run.config, clusters, len(cases))
    digests = ":".join(snapshot_digest(run.snapshot(each)) for each in (parent, variant))
    seen: list[str] = []
    early = None
    for block in race_order((case.id for case in cases), clusters, seed=f"{digests}:{run.state.looks}"):
        seen += block
        incumbent, candidate = await _arm(run, parent, seen), await _arm(run, variant, seen)
        early = settled(question, candidate, incumbent) if len(seen) < len(cases) else None
        if early is not None:
            break
    verdict = judge(question, candidate, incumbent, early=early)
    run.log(verdict)
    await verify_target(run)
    return verdict


async def verify_target(run: Run) -> None:
    """Run the rest of validation where the incumbent, by a race that was settled early, seems to be at the target."""
    done = run.state.evaluated(run.state.incumbent, "validation")
    if done is not None and done.n < done.of and done.mean >= min(1.0, run.config.target or 1.0):
        await run.evaluate(run.state.incumbent, "validation")


async def _arm(run: Run, variant: str, cases: Collection[str]) -> Arm:
    evaluation = await run.evaluate(variant, "validation", only=cases)
    chosen = set(cases)
    values = {case: value for case, value in evaluation.values.items() if case in chosen}
    demand = sum((result.demand for result in evaluation.results if result.case_id in chosen), Usage())
    return Arm(values, demand, sum(map(len, run.snapshot(variant).values())))


def level(run: Run) -> float:
    """What the p value of the next look must not exceed."""
    return next_level(run.config.accept, run.config.error, run.config.max_variants, run.state.accepted_looks)


def detectable_gain(state: State, config: OptimizeConfig) -> float:
    """The smallest true gain that the first look would find with 80 % power."""
    n, known = _power(state, config)
    return stats.detectable_gain(n, **known)


def cases_needed(run: Run, gain: float) -> int:
    """How many cases the first look would need to find a true `gain` with 80 % power."""
    _, known = _power(run.state, run.config)
    return stats.cases_needed(gain, **known)


def _power(state: State, config: OptimizeConfig) -> tuple[int, Mapping[str, Any]]:
    """Cases, and what the power depends on. Noise counts as measured, but not as less than what is usual."""
    done = state.evaluated(BASELINE, "validation")
    assert done is not None
    first = next_level(config.accept, config.error, config.max_variants, ())
    usual = 2 * done.mean * (1 - done.mean) * (1 - stats.CORRELATION)
    noise = max(state.noise.discordant if state.noise else 0.0, usual)
    return done.n, {"alpha": min(first, 0.5), "baseline": done.mean, "discordance": noise}
