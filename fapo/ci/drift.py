"""Whether a pipeline scores lower today than when its baseline was recorded: the same cases, today's models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fapo import __version__
from fapo.errors import ProviderError
from fapo.evaluation.evaluate import Evaluation, Manifest
from fapo.stats import Interval, PairedComparison, detectable_difference, mean_interval, paired_comparison
from fapo.store.nightlock import now
from fapo.store.testlock import Baseline


@dataclass(frozen=True, slots=True)
class Fall:
    """Today minus baseline on validation. `p_fall` is one-sided; it counts as a fall where it is at most `level`.

    The night is number `look` of at most `nights` on these cases. A true fall of `detectable` would be found in four of
    five such nights, 1 where there are too few cases for any.
    """

    paired: PairedComparison
    p_fall: float
    level: float
    look: int
    nights: int
    detectable: float

    @property
    def significant(self) -> bool:
        return self.paired.difference < 0 and self.p_fall <= self.level


def require_decided(evaluation: Evaluation, *, night: str) -> None:
    """Raise ProviderError while cases are undecided: they may be just those that are hard."""
    if undecided := evaluation.failed("provider"):
        assert undecided[0].failure is not None
        raise ProviderError(
            f"{len(undecided)} cases are undecided, since the provider failed: {undecided[0].failure.message}; "
            f"go on with --night {night}, which pays for no reply twice"
        )


def baseline_of(evaluation: Evaluation, *, night: str, clusters: Mapping[str, str] | None) -> Baseline:
    """Today's evaluation as what the nights to come are compared with."""
    manifest, values = evaluation.manifest, evaluation.values
    score = score_of(evaluation, clusters)
    return Baseline(
        night=night, recorded=now(), pipeline=manifest.variant_digest, cases=manifest.cases_digest,
        score=manifest.score_digest, models=models_of(manifest), trials=manifest.trials,
        mean=score.mean, low=score.low, high=score.high, n=score.n,
        scores=" ".join(map(_exact, values.values())), fapo=__version__,
    )  # fmt: skip


def score_of(evaluation: Evaluation, clusters: Mapping[str, str] | None) -> Interval:
    values = evaluation.values
    names = None if clusters is None else [clusters[case] for case in values]
    return mean_interval(list(values.values()), names)


def _exact(value: float) -> str:
    """Short, and read back as the same number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def models_of(manifest: Manifest) -> dict[str, str]:
    """Role to model string, the judge included."""
    return manifest.models | ({} if manifest.judge is None else {"judge": manifest.judge})


def what_changed(baseline: Baseline, manifest: Manifest) -> tuple[str, ...]:
    """In what today's evaluation is of something else than the baseline, so that the two say nothing of a drift."""
    pairs = {
        "the pipeline": (baseline.pipeline, manifest.variant_digest),
        "the validation cases": (baseline.cases, manifest.cases_digest),
        "the score function": (baseline.score, manifest.score_digest),
        "the models": (baseline.models, models_of(manifest)),
        "--trials": (baseline.trials, manifest.trials),
    }
    return tuple(name for name, (before, today) in pairs.items() if before != today)


def compare(
    baseline: Baseline,
    evaluation: Evaluation,
    *,
    clusters: Mapping[str, str] | None,
    look: int,
    level: float,
    nights: int,
) -> Fall:
    """Today's scores beside the baseline's, case by case."""
    today = evaluation.values
    before = dict(zip(today, map(float, baseline.scores.split()), strict=True))
    paired = paired_comparison(today, before, clusters=clusters)
    p_fall = paired_comparison(before, today, clusters=clusters).p_greater
    detectable = detectable_difference(today, before, clusters=clusters, alpha=2 * level)
    units = len(set(clusters.values())) if clusters is not None else len(today)
    return Fall(paired, p_fall, level, look, nights, detectable if 0.5**units <= level else 1.0)
