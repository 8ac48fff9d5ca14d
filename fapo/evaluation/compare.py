"""Two evaluations, case by case: read from disk, checked for being comparable, and tested for a difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fapo.errors import UsageError
from fapo.evaluation.evaluate import TRACES_FILE, Manifest, first_problem, load_manifest
from fapo.evaluation.request import read_cases
from fapo.records import CaseRecord, Usage
from fapo.stats import (
    Interval,
    PairedComparison,
    Repeatability,
    detectable_difference,
    mean_interval,
    nearest_rank,
    paired_comparison,
    repeatability,
)
from fapo.store.files import from_json, read_lines


@dataclass(frozen=True, slots=True)
class Sample:
    """How one case ended once. `value` is None while it is undecided; `failed` says that the pipeline failed."""

    value: float | None
    failed: bool
    usage: Usage
    duration_s: float


@dataclass(frozen=True, slots=True)
class Arm:
    """One evaluation as it lies on disk. `samples` are by case id and trial, undecided ones included.

    `cases` maps case ids to clusters; None where the evaluation did not take that down.
    """

    directory: Path
    manifest: Manifest
    samples: Mapping[tuple[str, int], Sample]
    cases: Mapping[str, str | None] | None

    @property
    def scores(self) -> dict[str, list[float]]:
        """The values of each decided case, one for each decided trial."""
        found: dict[str, list[float]] = {}
        for (case, _), sample in self.samples.items():
            if sample.value is not None:
                found.setdefault(case, []).append(sample.value)
        return found

    @property
    def means(self) -> dict[str, float]:
        return {case: sum(values) / len(values) for case, values in self.scores.items()}


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """What one side came to. `score` is over the compared cases; all else counts every sample that was run.

    `missing` samples were never run or are undecided. `p50_s` and `p95_s` are seconds that a case took.
    """

    score: Interval
    samples: int
    failures: int
    undecided: int
    missing: int
    usage: Usage
    p50_s: float | None
    p95_s: float | None
    repeatability: Repeatability | None


@dataclass(frozen=True, slots=True)
class Change:
    """One case whose mean score differs."""

    case_id: str
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """B minus A over the cases that are decided in both.

    `won` and `lost` are B's, largest change first; `left_out` are cases that are not decided in both; `detectable` is
    the smallest true difference that the test finds four times in five; `notes` say what to keep in mind.
    """

    a: ArmFigures
    b: ArmFigures
    paired: PairedComparison
    clusters: int | None
    detectable: float
    won: tuple[Change, ...]
    lost: tuple[Change, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def read_arm(place: Path) -> Arm:
    """The evaluation in the directory `place`, or beside the `traces.jsonl` that it names.

    Raises UsageError, with file and line, for what is no evaluation or is damaged.
    """
    directory = place.parent if place.name == TRACES_FILE else place
    manifest = load_manifest(directory)
    samples: dict[tuple[str, int], Sample] = {}
    for number, line in enumerate(read_lines(directory / TRACES_FILE), 1):
        try:
            record = from_json(CaseRecord, line)
        except ValidationError as error:
            raise UsageError(
                f"cannot be read back: {first_problem(error)}", path=directory / TRACES_FILE, line=number
            ) from None
        key = record.case_id, record.trial
        if record.value is not None or key not in samples or samples[key].value is None:
            failed = record.failure is not None and record.failure.owner == "pipeline"
            samples[key] = Sample(record.value, failed, record.usage, record.duration_s)
    return Arm(directory, manifest, samples, read_cases(directory))


def compare_arms(a: Arm, b: Arm) -> Comparison:
    """Compare B with A, paired by case.

    Raises UsageError, saying what differs, for evaluations that cannot be compared, and where fewer than half of the
    cases are decided in both.
    """
    _check_comparable(a, b)
    means_a, means_b = a.means, b.means
    known = list(a.cases or b.cases or dict.fromkeys(case for case, _ in [*a.samples, *b.samples]))
    both = [case for case in known if case in means_a and case in means_b]
    if not both or 2 * len(both) < len(known):
        raise UsageError(
            f"not comparable: only {len(both)} of {len(known)} cases are decided in both; "
            "finish them first with `fapo eval --resume DIR`"
        )
    clusters = _clusters(a.cases or b.cases, both)
    in_a, in_b = ({case: means[case] for case in both} for means in (means_a, means_b))
    paired = paired_comparison(in_b, in_a, clusters=clusters)
    changes = [Change(case, in_a[case], in_b[case]) for case in both if abs(in_b[case] - in_a[case]) > 1e-12]
    changes.sort(key=lambda change: -abs(change.b - change.a))
    return Comparison(
        a=_figures(a, in_a, clusters, len(known)),
        b=_figures(b, in_b, clusters, len(known)),
        paired=paired,
        clusters=None if clusters is None else len(set(clusters.values())),
        detectable=detectable_difference(in_b, in_a, clusters=clusters),
        won=tuple(change for change in changes if change.b > change.a),
        lost=tuple(change for change in changes if change.b < change.a),
        left_out=tuple(case for case in known if case not in in_a),
        notes=tuple(_notes(a, b, paired)),
    )


def _check_comparable(a: Arm, b: Arm) -> None:
    if a.directory.resolve() == b.directory.resolve():
        raise UsageError("A and B are the same evaluation", path=a.directory)
    one, other = a.manifest, b.manifest
    if one.split != other.split:
        raise UsageError(f"not comparable: A ran on {one.split}, B on {other.split}")
    if one.cases_digest != other.cases_digest:
        counts = "" if a.cases is None or b.cases is None else f" ({len(a.cases):,} in A, {len(b.cases):,} in B)"
        raise UsageError(f"not comparable: the cases differ{counts}; evaluate both with the same data and --limit")
    if one.score != other.score:
        raise UsageError(f"not comparable: A was scored by {one.score}, B by {other.score}")
    if one.score_digest != other.score_digest:
        raise UsageError(f"not comparable: the score function {one.score} was changed in between; evaluate both anew")
    if bool(one.sample) != bool(other.sample):
        stand_in, model = ("A", "B") if one.sample else ("B", "A")
        raise UsageError(f"not comparable: in {stand_in} an offline stand-in answered, in {model} a model")


def _clusters(cases: Mapping[str, str | None] | None, chosen: list[str]) -> dict[str, str] | None:
    found = {case: cluster for case in chosen if cases is not None and (cluster := cases.get(case)) is not None}
    return found if len(found) == len(chosen) else None


def arm_figures(arm: Arm) -> ArmFigures:
    """What an evaluation came to by itself. Raises UsageError where no case is decided."""
    means, known = arm.means, arm.cases or {}
    if not means:
        raise UsageError("no case is decided yet", path=arm.directory)
    clusters = {case: name for case, name in known.items() if name is not None}
    return _figures(arm, means, clusters if clusters.keys() >= means.keys() else None, len(known) or len(means))


def _figures(arm: Arm, means: Mapping[str, float], clusters: Mapping[str, str] | None, cases: int) -> ArmFigures:
    samples = arm.samples.values()
    seconds = [sample.duration_s for sample in samples if sample.value is not None]
    undecided = sum(sample.value is None for sample in samples)
    names = None if clusters is None else [clusters[case] for case in means]
    return ArmFigures(
        score=mean_interval(list(means.values()), names),
        samples=len(samples),
        failures=sum(sample.failed for sample in samples),
        undecided=undecided,
        missing=cases * arm.manifest.trials - len(samples) + undecided,
        usage=sum((sample.usage for sample in samples), Usage()),
        p50_s=nearest_rank(seconds, 0.5),
        p95_s=nearest_rank(seconds, 0.95),
        repeatability=repeatability(arm.scores),
    )


def _notes(a: Arm, b: Arm, paired: PairedComparison) -> list[str]:
    notes = []
    if (paired.p_two_sided < 0.05) != (paired.low > 0 or paired.high < 0):
        notes.append("test and interval disagree about 0: the interval approximates, the test decides")
    if a.manifest.trials != b.manifest.trials:
        one, other = a.manifest.trials, b.manifest.trials
        notes.append(f"A has {one} and B {other} samples of each case: means of cases are compared")
    if a.cases is None and b.cases is None:
        notes.append("which cases belong together was not taken down: all count as independent")
    if any(sample.usage.cached_calls for arm in (a, b) for sample in arm.samples.values()):
        notes.append("some replies came from the cache: tokens and cost are not comparable")
    return notes + sorted({sample for arm in (a, b) if (sample := arm.manifest.sample)})
