"""What MLflow and Weights & Biases are told of a run: settings, metrics and files, of the whole and of each variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fapo.records import BASELINE
from fapo.report.facts import RunReport
from fapo.report.run_summary import VariantRow
from fapo.tracking import names


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """One variant. `files` are its prompts and code by path; metrics that are unknown are not there."""

    id: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One optimization. `files` are the reports that are there."""

    name: str
    pipeline: str
    settings: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    variants: tuple[VariantFigures, ...]
    files: tuple[Path, ...]
    best: str
    started_at: float
    ended_at: float
    improved: bool


def figures_of(report: RunReport, files: Mapping[str, Mapping[str, str]]) -> RunFigures:
    """The figures of a run; `files` has the texts of each variant by path."""
    summary = report.summary
    directory = Path(summary.run_dir)
    rows = [_baseline(report, files), *(_variant(report, row, files) for row in summary.variants)]
    reports = [directory / name for name in ("report.md", "report.html", "best.patch", "journal.jsonl")]
    settings = {
        "pipeline": summary.pipeline,
        "benchmark": report.asked.benchmark,
        "score": report.asked.score,
        "optimizer": summary.optimizer,
        "optimizer_model": report.asked.optimizer_model or "",
        "acceptance": summary.acceptance,
        **{f"model.{role}": model for role, model in report.asked.models.items()},
        **{f"cases.{split}": str(count) for split, count in report.asked.counts.items()},
        **{f"digest.{name}": digest for name, digest in report.ran.digests.items()},
        **{f"version.{name}": version for name, version in report.asked.versions.items()},
        "command": report.ran.command,
    }
    tags = {
        names.RUN: directory.name,
        names.STATUS: summary.status,
        names.REASON: summary.why,
        names.ISOLATION: summary.isolation,
        names.NOTE: summary.note or "",
    }
    return RunFigures(
        directory.name, summary.pipeline, {name: value for name, value in settings.items() if value}, tags,
        _metrics(report), tuple(rows), tuple(path for path in reports if path.is_file()), summary.best.variant,
        report.ran.started_at, report.ran.last_at, summary.best.variant != BASELINE,
    )  # fmt: skip


def _metrics(report: RunReport) -> dict[str, float]:
    summary, gain = report.summary, report.summary.test_gain
    found = {
        names.VALIDATION_MEAN: summary.best.validation,
        names.VALIDATION_DIFFERENCE: summary.validation_gain.mean if summary.validation_gain else None,
        names.TEST_MEAN: summary.best.test,
        names.TEST_GAIN: gain.mean if gain else None,
        names.TEST_GAIN_LOW: gain.ci95[0] if gain else None,
        names.TEST_GAIN_HIGH: gain.ci95[1] if gain else None,
        names.TEST_P: gain.p if gain else None,
        names.COST_TASK: summary.usage.task.cost_usd,
        names.COST_JUDGE: summary.usage.judge.cost_usd,
        names.COST_OPTIMIZER: summary.usage.optimizer.cost_usd,
        names.LOOKS: float(summary.looks),
        names.SUBMITTED: float(len(summary.variants)),
        names.ACCEPTED: float(sum(row.verdict == "accepted" for row in summary.variants)),
        names.WALL: summary.wall_s,
    }
    return {name: value for name, value in found.items() if value is not None}


def _baseline(report: RunReport, files: Mapping[str, Mapping[str, str]]) -> VariantFigures:
    means = report.summary.baseline
    metrics = {names.VALIDATION_MEAN: means.validation, names.TEST_MEAN: means.test}
    known = {name: value for name, value in metrics.items() if value is not None}
    return VariantFigures(
        BASELINE, {names.VARIANT: BASELINE, names.VERDICT: "baseline"}, known, files.get(BASELINE, {})
    )


def _variant(report: RunReport, row: VariantRow, files: Mapping[str, Mapping[str, str]]) -> VariantFigures:
    demand = row.demand
    is_best = row.id == report.summary.best.variant
    metrics = {
        names.VALIDATION_MEAN: row.estimate,
        names.VALIDATION_DIFFERENCE: row.difference,
        names.VALIDATION_P: row.p,
        names.VALIDATION_CASES: row.cases,
        names.TEST_MEAN: report.summary.best.test if is_best else None,
        names.CALLS_PER_CASE: demand.calls if demand else None,
        names.TOKENS_PER_CASE: demand.tokens if demand else None,
        names.COST_PER_CASE: demand.cost_usd if demand else None,
    }
    tags = {
        names.VARIANT: row.id,
        names.PARENT: row.parent,
        names.LEVEL: row.level or "",
        names.STEP: row.step,
        names.TECHNIQUE: row.technique,
        names.HYPOTHESIS: row.hypothesis,
        names.VERDICT: row.verdict or "undecided",
        names.REASON: row.reason,
    }
    known = {name: float(value) for name, value in metrics.items() if value is not None}
    return VariantFigures(row.id, tags, known, files.get(row.id, {}))
