"""A run in MLflow: one parent run, and a child run for each variant. The mlflow seam.

A run that is there already is not written twice; one whose writing was interrupted is written anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from fapo.errors import UsageError
from fapo.tracking import names
from fapo.tracking.figures import RunFigures, VariantFigures

PARENT_TAG = "mlflow.parentRunId"
_LONGEST_PARAM = 6000
_LONGEST_TAG = 5000


def write_run(figures: RunFigures, *, uri: str | None, experiment: str | None) -> str:
    """Write a run and its variants, and return where it is found. Raises UsageError where MLflow refuses."""
    try:
        client = MlflowClient(tracking_uri=uri)
        return _write(client, figures, experiment or f"fapo/{figures.pipeline}")
    except MlflowException as error:
        raise UsageError(f"MLflow: {' '.join(str(error).split())[:300]}") from None


def _write(client: MlflowClient, figures: RunFigures, experiment: str) -> str:
    found = client.get_experiment_by_name(experiment)
    home = client.create_experiment(experiment) if found is None else found.experiment_id
    parent = _finished_before(client, home, figures.name)
    if parent is None:
        parent = _begin(client, home, figures.name, figures.started_at, figures.tags)
        for name, value in figures.settings.items():
            client.log_param(parent, name, value[:_LONGEST_PARAM])
        _log_metrics(client, parent, figures.metrics, figures.ended_at)
        for path in figures.files:
            client.log_artifact(parent, str(path))
        for number, variant in enumerate(figures.variants):
            mean = variant.metrics.get(names.VALIDATION_MEAN)
            if mean is not None:
                client.log_metric(parent, "variant.validation.mean", mean, step=number)
            _write_variant(client, home, parent, figures, variant)
        client.set_terminated(parent, "FINISHED", end_time=_millis(figures.ended_at))
    return f"experiment {experiment}, run {parent}"


def _finished_before(client: MlflowClient, home: str, name: str) -> str | None:
    """The run that is there; what an interrupted writing left behind is deleted."""
    found = client.search_runs([home], f"tags.`{names.RUN}` = '{name}'", max_results=1000)
    for run in found:
        if run.info.status == "FINISHED" and PARENT_TAG not in run.data.tags:
            return str(run.info.run_id)
    for run in found:
        client.delete_run(run.info.run_id)
    return None


def _begin(client: MlflowClient, home: str, name: str, started_at: float, tags: Mapping[str, str]) -> str:
    kept = {tag: value[:_LONGEST_TAG] for tag, value in tags.items() if value}
    return str(client.create_run(home, start_time=_millis(started_at), tags=kept, run_name=name).info.run_id)


def _write_variant(client: MlflowClient, home: str, parent: str, figures: RunFigures, variant: VariantFigures) -> None:
    tags = {**variant.tags, names.RUN: figures.name, PARENT_TAG: parent}
    run = _begin(client, home, f"{figures.name}-{variant.id}", figures.started_at, tags)
    _log_metrics(client, run, variant.metrics, figures.ended_at)
    for path, text in variant.files.items():
        client.log_text(run, text, f"pipeline/{path}")
    client.set_terminated(run, "FINISHED", end_time=_millis(figures.ended_at))


def _log_metrics(client: MlflowClient, run: str, metrics: Mapping[str, float], at: float) -> None:
    for name, value in metrics.items():
        client.log_metric(run, name, value, timestamp=_millis(at))


def _millis(seconds: float) -> int:
    return int((seconds or time.time()) * 1000)
