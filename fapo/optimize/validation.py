"""What validation is asked: the noise floor first, then about each variant, in a race; and what it can show at all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fapo import stats
from fapo.acceptance import next_level
from fapo.config import OptimizeConfig
from fapo.optimize.events import Decided, NoiseFloor, State
from fapo.optimize.judge import Arm, Question, judge, race_order, settled
from fapo.optimize.limits import test_reserve
from fapo.optimize.run import Run
from fapo.records import BASELINE, Usage
from fapo.store.variants import snapshot_digest

SMALL_GAIN = 0.05
"""A gain that users hope to see; what it would take is told where validation cannot show it."""
MOST_TRIALS = 20
NOISE_SHARE = 0.1
"""How much of the calls of a bounded search the second arm may take."""


def noise_is_affordable(run: Run) -> bool:
    """Whether a second arm of the baseline leaves a search that is bounded in calls to its variants."""
    limit, done = run.config.search_calls, run.state.evaluated(BASELINE, "validation")
    return limit is None or done is None or done.demand.llm_calls <= NOISE_SHARE * limit


async def noise_floor(run: Run) -> NoiseFloor:
    """How far the baseline differs from itself, by a second arm, whose replies the cache has not."""
    if run.state.noise is None:
        first = (await run.evaluate(BASELINE, "validation")).values
        second = (await run.evaluate(BASELINE, "validation", trial=1)).values
        changed = [second[case] - first[case] for case in first]
        differ = sum(abs(change) > 1e-12 for change in changed) / len(changed)
        square = sum(change**2 for change in changed) / len(changed)
        run.log(NoiseFloor(differ, sum(changed) / len(changed), len(changed), square))
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
    run.keep_back(test_reserve(run))
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


def detectable_gain(state: State, config: OptimizeConfig, *, cases: int = 0) -> float:
    """The smallest true gain that the first look would find with 80 % power; `cases` are those of validation, needed
    before the baseline has run."""
    known = _known(state, config, cases)
    return stats.detectable_gain(known.cases, known.level, baseline=known.baseline, discordance=known.noise)


def cases_needed(state: State, config: OptimizeConfig, gain: float) -> int:
    """How many cases the first look would need to find a true `gain` with 80 % power."""
    known = _known(state, config, 0)
    return stats.cases_needed(gain, known.level, baseline=known.baseline, discordance=known.noise)


def trials_needed(state: State, config: OptimizeConfig, gain: float, *, cases: int) -> int | None:
    """How many trials of each case the first look would need to find a true `gain` with 80 % power; None where
    MOST_TRIALS are not enough, since cases are too few however well each of them is known."""
    known, own = _known(state, config, cases), config.trials
    for trials in range(own + 1, MOST_TRIALS + 1):
        noise = known.noise * own / trials
        if stats.detectable_gain(known.cases, known.level, baseline=known.baseline, discordance=noise) <= gain:
            return trials
    return None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the power of a look depends on. `noise` is the mean square of what a case differs by chance."""

    cases: int
    level: float
    baseline: float
    noise: float


def _known(state: State, config: OptimizeConfig, cases: int) -> _Known:
    """Before the baseline has run, of `cases` cases at the mean at which chance is largest. Noise counts as measured,
    but not as less than what is usual."""
    done = state.evaluated(BASELINE, "validation")
    n, mean = (done.n, done.mean) if done else (cases, 0.5)
    first = next_level(config.accept, config.error, config.max_variants, ())
    usual = 2 * mean * (1 - mean) * (1 - stats.CORRELATION) / config.trials
    noise = max(state.noise.square if state.noise else 0.0, usual)
    return _Known(n, min(first, 0.5), mean, noise)


def outlook(run: Run) -> str:
    """What validation can show, and how many cases or trials it would take to see a small gain."""
    state, config, cases = run.state, run.config, len(run.project.cases("validation"))
    least = detectable_gain(state, config, cases=cases)
    found = f"one look finds a true gain of {100 * least:.1f} points four times in five"
    if least <= SMALL_GAIN:
        return found
    trials = trials_needed(state, config, SMALL_GAIN, cases=cases)
    more = "more trials would not do" if trials is None else f"or --trials {trials}"
    needed = cases_needed(state, config, SMALL_GAIN)
    return f"{found}; for {100 * SMALL_GAIN:.0f} points it would take {needed:,} cases ({more})"
