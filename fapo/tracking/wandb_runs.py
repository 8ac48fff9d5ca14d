"""A run in Weights & Biases: one run with a step for each variant, a table of variants, and the best as an artifact.

The wandb seam. The id of the run follows from its name, so that what is sent again goes to the same run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import wandb

from fapo.errors import UsageError
from fapo.tracking import names
from fapo.tracking.figures import RunFigures

_COLUMNS = (names.VARIANT, names.PARENT, names.LEVEL, names.STEP, names.TECHNIQUE, names.VERDICT, names.REASON)
_FIGURES = (names.VALIDATION_MEAN, names.VALIDATION_DIFFERENCE, names.VALIDATION_P, names.COST_PER_CASE)


def write_run(figures: RunFigures, *, project: str | None, folder: Path, offline: bool) -> str:
    """Write a run, and return where it is found. `folder` keeps what wandb writes on disk. Raises UsageError."""
    if not offline and not wandb.api.api_key:
        raise UsageError("no login of Weights & Biases: run `wandb login`, or give --offline and `wandb sync` later")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = wandb.init(
            project=project or f"fapo-{figures.pipeline}",
            id=hashlib.sha256(figures.name.encode()).hexdigest()[:16],
            name=figures.name,
            dir=str(folder),
            config={**figures.settings, **figures.tags},
            mode="offline" if offline else "online",
            resume="never" if offline else "allow",
            settings=wandb.Settings(silent=True, x_disable_stats=True, x_disable_meta=True, console="off"),
        )
    except wandb.errors.Error as error:
        raise UsageError(f"Weights & Biases: {' '.join(str(error).split())[:300]}") from None
    with run:
        table = wandb.Table(columns=[*_COLUMNS, *_FIGURES])
        for step, variant in enumerate(figures.variants):
            run.log(dict(variant.metrics), step=step)
            table.add_data(*(variant.tags.get(name) for name in _COLUMNS), *(variant.metrics.get(n) for n in _FIGURES))
        run.log({"variants": table}, step=len(figures.variants))
        run.summary.update(dict(figures.metrics))
        best = next(variant for variant in figures.variants if variant.id == figures.best)
        artifact = wandb.Artifact(f"fapo-{figures.pipeline}-best", type="pipeline", metadata=dict(best.tags))
        for path, text in best.files.items():
            with artifact.new_file(f"pipeline/{path}", mode="w", encoding="utf-8") as file:
                file.write(text)
        for report in figures.files:
            artifact.add_file(str(report), name=report.name)
        run.log_artifact(artifact)
        place = str(run.dir)
    return str(Path(place).parent) if offline else str(run.url)
