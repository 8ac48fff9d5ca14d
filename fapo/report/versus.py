"""Optimizers beside each other on one benchmark: per optimizer means over trials, and paired differences on test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from fapo.records import Usage
from fapo.stats import PairedComparison, paired_comparison


@dataclass(frozen=True, slots=True)
class Trial:
    """One optimization. `test` are the test scores by case of what it ended with: its best variant, or the baseline."""

    optimizer: str
    trial: int
    status: str
    level: str | None
    baseline_validation: float
    best_validation: float
    test: Mapping[str, float]
    variants: int
    searched: int
    task: Usage
    judge: Usage
    spent: Usage
    wall_s: float
    run_dir: str

    @property
    def test_mean(self) -> float:
        return fmean(self.test.values())


@dataclass(frozen=True, slots=True)
class Summary:
    """One optimizer over its trials; `spread` is the standard deviation of the trials' test means, None for one trial.

    `searched` are task-model calls of the search, those that the cache answered included, on average.
    """

    optimizer: str
    trials: int
    test: float
    spread: float | None
    validation: float
    searched: float
    task: Usage
    judge: Usage
    spent: Usage
    wall_s: float


@dataclass(frozen=True, slots=True)
class Versus:
    """`difference` is the first minus the second, of each case's mean over trials, on the same test cases."""

    first: str
    second: str
    difference: PairedComparison


@dataclass(frozen=True, slots=True)
class Report:
    benchmark: str
    pipeline: str
    note: str | None
    baseline_test: float
    summaries: tuple[Summary, ...]
    versus: tuple[Versus, ...]
    published: tuple[Mapping[str, object], ...]


def summarize(trials: Sequence[Trial]) -> Summary:
    """The trials of one optimizer; times and calls are means over them, money is their sum."""
    means = [trial.test_mean for trial in trials]
    return Summary(
        trials[0].optimizer, len(trials), fmean(means), stdev(means) if len(means) > 1 else None,
        fmean(trial.best_validation for trial in trials), fmean(trial.searched for trial in trials),
        sum((trial.task for trial in trials), Usage()), sum((trial.judge for trial in trials), Usage()),
        sum((trial.spent for trial in trials), Usage()), fmean(trial.wall_s for trial in trials),
    )  # fmt: skip


def compare(
    benchmark: str,
    pipeline: str,
    baseline: Mapping[str, float],
    trials: Mapping[str, Sequence[Trial]],
    *,
    note: str | None,
    published: Sequence[Mapping[str, object]],
    clusters: Mapping[str, str] | None,
) -> Report:
    """All optimizers, and each against those after it; `baseline` are its test scores by case."""
    means = {name: _over_trials(runs) for name, runs in trials.items()}
    names = list(trials)
    pairs = [(first, second) for index, first in enumerate(names) for second in names[index + 1 :]]
    versus = [Versus(a, b, paired_comparison(means[a], means[b], clusters=clusters)) for a, b in pairs]
    versus += [Versus(name, "baseline", paired_comparison(means[name], baseline, clusters=clusters)) for name in names]
    return Report(benchmark, pipeline, note, fmean(baseline.values()),
                  tuple(summarize(runs) for runs in trials.values()), tuple(versus), tuple(published))  # fmt: skip


def _over_trials(runs: Sequence[Trial]) -> dict[str, float]:
    return {case: fmean(run.test[case] for run in runs) for case in runs[0].test}


def markdown(report: Report) -> Iterator[str]:
    """The report as Markdown, a line each."""
    yield f"# {report.benchmark}: optimizers beside each other"
    yield ""
    if report.note:
        yield f"> {report.note}"
        yield ""
    yield f"Pipeline `{report.pipeline}`; its baseline has {100 * report.baseline_test:.1f} on test."
    yield ""
    yield ("| optimizer | trials | test | spread | validation | calls of the search | task $ | judge $ | optimizer $ "
           "| minutes |")  # fmt: skip
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for each in report.summaries:
        spread = "–" if each.spread is None else f"{100 * each.spread:.1f}"
        money = " | ".join(_dollars(usage) for usage in (each.task, each.judge, each.spent))
        yield (f"| {each.optimizer} | {each.trials} | {100 * each.test:.1f} | {spread} | {100 * each.validation:.1f} "
               f"| {each.searched:,.0f} | {money} | {each.wall_s / 60:.1f} |")  # fmt: skip
    yield ""
    yield "| on the same test cases | points | 95 % interval | p, two-sided | won | lost |"
    yield "|---|--:|--:|--:|--:|--:|"
    for pair in report.versus:
        d = pair.difference
        yield (f"| {pair.first} against {pair.second} | {100 * d.difference:+.1f} | {100 * d.low:+.1f} to "
               f"{100 * d.high:+.1f} | {d.p_two_sided:.2g} | {d.won} | {d.lost} |")  # fmt: skip
    if report.published:
        yield ""
        yield "| published | model | test | source |"
        yield "|---|---|--:|---|"
        for row in report.published:
            yield f"| {row['optimizer']} | {row['model']} | {row['test']} | {row['source']} |"


def _dollars(usage: Usage) -> str:
    return "unknown" if usage.cost_usd is None else f"{usage.cost_usd:.2f}"
