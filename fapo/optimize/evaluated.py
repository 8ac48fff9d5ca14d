"""An evaluation as it lies on disk, with what it was an evaluation of; and the facts of its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from fapo.data import split_digest
from fapo.errors import FapoError, UsageError
from fapo.evaluation.evaluate import LEVEL_FILE, Manifest, load_decided, load_manifest
from fapo.evaluation.project import Project, open_project
from fapo.evaluation.request import REQUEST_FILE, read_cases, read_request
from fapo.optimize.division import figures_of, losses_of
from fapo.optimize.gather import MOST_CASES
from fapo.optimize.start import reopen_run
from fapo.records import Case, CaseRecord, Usage
from fapo.report.facts import CaseChange, CaseList, EvaluationReport
from fapo.stats import mean_interval
from fapo.store.run_names import RUN_FILE


def project_of(directory: Path, manifest: Manifest) -> Project:
    """What was evaluated, with its cases. Raises UsageError where these are not there any more, or are others now."""
    run = directory.absolute().parent.parent
    if (directory / REQUEST_FILE).is_file():
        request = read_request(directory)
        project = open_project(directory / "pipeline", request.config, data_from=request.source)
        limit = request.config.limit
    elif (run / RUN_FILE).is_file():
        (project, _, _), limit = reopen_run(run), None
    else:
        raise UsageError("belongs neither to `fapo eval` nor to a run, so its cases are not known", path=directory)
    cases = project.cases(manifest.split)
    chosen = read_cases(directory)
    ran = cases[:limit] if chosen is None else tuple(case for case in cases if case.id in chosen)
    if manifest.cases_digest not in map(split_digest, (ran, cases)):
        raise UsageError("the benchmark's cases have changed since; evaluate it anew", path=directory)
    return project


def gather_evaluation(directory: Path, *, include_test: bool = False) -> EvaluationReport:
    """All that a report tells of an evaluation, ended or not. Raises UsageError for what is none.

    Text of test cases is in it only with `include_test`.
    """
    manifest = load_manifest(directory)
    records = tuple(load_decided(directory).values())
    missing, known = "", dict[str, Case]()
    try:
        known = {case.id: case for case in project_of(directory, manifest).cases(manifest.split)}
    except (FapoError, OSError) as error:
        missing = str(error)
    clusters = read_cases(directory) or {}
    wanted = manifest.trials * len(clusters)
    level = directory / LEVEL_FILE
    shown = include_test or manifest.split != "test"
    losses = losses_of(manifest.split, known, records, ())
    return EvaluationReport(
        pipeline=manifest.pipeline,
        variant=manifest.variant,
        split=manifest.split,
        scored_by=manifest.score,
        models=manifest.models,
        judge=manifest.judge,
        note=manifest.sample,
        score=_score(records, clusters),
        n=len({record.case_id for record in records}),
        trials=manifest.trials,
        failures=sum(record.failure is not None for record in records),
        undecided=max(0, wanted - len(records)),
        usage=sum((record.usage for record in records), Usage()),
        judge_usage=sum((record.judge for record in records), Usage()),
        isolation=level.read_text(encoding="utf-8").strip() if level.is_file() else "",
        directory=str(directory.absolute()),
        losses=losses if shown else replace(losses, reasons=()),
        steps=figures_of(manifest.split, records, ()),
        cases=tuple(_failing(directory, manifest, records, known)) if shown else (),
        includes_test=include_test and manifest.split == "test",
        missing=missing,
    )


def _score(records: Iterable[CaseRecord], clusters: Mapping[str, str | None]) -> tuple[float, float, float] | None:
    values: dict[str, list[float]] = {}
    for record in records:
        if record.value is not None:
            values.setdefault(record.case_id, []).append(record.value)
    if not values:
        return None
    names = [clusters.get(case) or case for case in values]
    found = mean_interval([sum(each) / len(each) for each in values.values()], names)
    return found.mean, found.low, found.high


def _failing(
    directory: Path, manifest: Manifest, records: Iterable[CaseRecord], known: Mapping[str, Case]
) -> Iterable[CaseList]:
    failing = {record.case_id: record for record in records if (record.value or 0.0) < 1.0}
    worst = sorted(failing.values(), key=lambda record: record.value or 0.0)
    shown = (CaseChange(record.case_id, known.get(record.case_id), record, None) for record in worst[: 2 * MOST_CASES])
    yield CaseList(manifest.split, "failing", tuple(shown), len(failing), str(directory.absolute()))
