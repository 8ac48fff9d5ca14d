"""From what was asked to a plan: which cases, under which name, in which directory."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fapo.config import EvalConfig
from fapo.data import split_digest
from fapo.errors import UsageError
from fapo.evaluation.evaluate import MANIFEST_FILE, EvaluationPlan, Manifest
from fapo.evaluation.project import Project
from fapo.store.files import make_directory
from fapo.store.variants import freeze_snapshot, snapshot_digest, take_snapshot


def plan_evaluation(
    project: Project, config: EvalConfig, runs_dir: Path, *, resume: str | None = None
) -> EvaluationPlan:
    """Plan an evaluation of a pipeline as it is now, in a new directory under `runs_dir` or in an interrupted one.

    The worker runs a snapshot, so that edits made meanwhile change nothing, and case files beside the code stay
    out of its reach.
    """
    if resume is None:
        make_directory(runs_dir)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")[:-3]
        directory = runs_dir / f"{stamp}-eval-{project.spec.name}"
    else:
        directory = Path(resume).absolute()
        if not (directory / MANIFEST_FILE).is_file():
            raise UsageError(f"not an interrupted evaluation: {MANIFEST_FILE} is missing", path=resume)
    code = directory / "pipeline"
    snapshot = take_snapshot(code) if code.exists() else take_snapshot(project.directory, hard_links=True)
    freeze_snapshot(snapshot, code)
    cases = project.cases(config.split)[: config.limit]
    manifest = Manifest(
        pipeline=project.spec.name,
        variant=project.spec.name,
        variant_digest=snapshot_digest(snapshot),
        split=config.split,
        cases_digest=split_digest(cases),
        score=project.score.name,
        score_digest=project.score.digest,
        trials=config.trials,
        models=project.spec.models,
        sample=project.sample_note,
        judge=project.judge,
    )
    return EvaluationPlan(
        code, project.spec, cases, project.score, manifest, directory, config.concurrency, config.isolation,
        project.benchmark.guards, judge=project.judge, corpus=project.benchmark.corpus,
    )  # fmt: skip
