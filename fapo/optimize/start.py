"""How a run begins, and how an interrupted one is opened again."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from fapo import __version__
from fapo.config import OptimizeConfig
from fapo.data import split_digest
from fapo.errors import UsageError
from fapo.evaluation.project import Project, open_project
from fapo.optimize.events import LevelOpened, Started
from fapo.optimize.levels import initial_levels
from fapo.optimize.run import Run
from fapo.records import BASELINE, SPLITS, Split
from fapo.report.facts import Asked
from fapo.store.files import make_directory, read_json, to_python, write_atomic
from fapo.store.run_names import RUN_FILE
from fapo.store.variants import freeze_snapshot, snapshot_digest, take_snapshot


def create_run(
    source: Path, project: Project, config: OptimizeConfig, runs_dir: Path, *, optimizer_model: str | None = None
) -> Path:
    """Freeze the inputs of a new run under `runs_dir`; returns its directory."""
    make_directory(runs_dir)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    directory = _fresh(runs_dir, f"{stamp}-{project.spec.name}")
    snapshot = take_snapshot(source, hard_links=True)
    freeze_snapshot(snapshot, directory / "variants" / BASELINE)
    frozen = {
        "pipeline": project.spec.name,
        "source": str(source.resolve()),
        "config": config.model_dump(mode="json"),
        "baseline_digest": snapshot_digest(snapshot),
        "score_digest": project.score.digest,
        "cases": _digests(project),
        "fapo": __version__,
        "asked": to_python(asked_of(project, optimizer_model)),
    }
    write_atomic(directory / RUN_FILE, json.dumps(frozen, indent=2) + "\n")
    return directory


def asked_of(project: Project, optimizer_model: str | None) -> Asked:
    """What is to be optimized, on what and by whom, for those who read of it later."""
    benchmark, spec = project.benchmark, project.spec
    return Asked(
        task=spec.task,
        benchmark=benchmark.name,
        licence=benchmark.licence,
        score=project.score.name,
        models=dict(spec.models),
        judge=project.judge,
        optimizer_model=optimizer_model,
        counts={split: len(project.cases(split)) for split in SPLITS},
        guards=benchmark.guards.model_dump(mode="json"),
        note=project.sample_note,
        versions={"fapo": __version__, "Python": platform.python_version(), "LiteLLM": version("litellm"),
                  "system": f"{platform.system()} {platform.release()}"},
    )  # fmt: skip


def reopen_run(directory: Path) -> tuple[Project, OptimizeConfig, Path]:
    """The project, configuration and source directory of an interrupted run.

    Raises UsageError where what it ran on has changed.
    """
    path = directory / RUN_FILE
    if not path.is_file():
        raise UsageError("not a run: run.json is missing", path=directory)
    try:
        frozen = read_json(path)
        config = OptimizeConfig.model_validate(frozen["config"])
    except (ValueError, KeyError) as error:
        raise UsageError(f"cannot be read back: {' '.join(str(error).split())}", path=path) from None
    project = open_project(directory / "variants" / BASELINE, config, data_from=Path(frozen["source"]))
    if project.score.digest != frozen["score_digest"]:
        raise UsageError("the score function has changed since the run began; start a new run", path=project.score.path)
    if _digests(project) != frozen["cases"]:
        raise UsageError("the benchmark's cases have changed since the run began; start a new run", path=directory)
    return project, config, Path(frozen["source"])


def begin(run: Run) -> None:
    """Log the start of a run, once."""
    if run.state.started_at == 0.0:
        run.log(Started())
        for level in initial_levels(run.scope):
            run.log(LevelOpened(level, "the lowest level of the scope is open from the start"))


def _digests(project: Project) -> dict[str, str]:
    splits: Iterable[Split] = ("train", "validation", "test")
    return {split: split_digest(project.cases(split)) for split in splits}


def _fresh(parent: Path, name: str) -> Path:
    for number in range(1, 1000):
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            continue
    raise UsageError("too many runs with this name", path=parent)
