"""`fapo export RUN --to mlflow|wandb|otel`: a run or an evaluation, in the tools in which results live already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fapo.cli.names import find_run, runs_and_evaluations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fapo.optimize.run_files import RunFiles
    from fapo.tracking.figures import RunFigures
    from fapo.tracking.otel_spans import Spans

_BELONGS = {"uri": "mlflow", "experiment": "mlflow", "project": "wandb", "offline": "wandb", "endpoint": "otel",
            "content": "otel", "include_test": "otel"}  # fmt: skip
_LIBRARIES = {"mlflow": "mlflow", "wandb": "wandb", "otel": "opentelemetry.sdk"}


def export_command(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run: its directory, its name or the beginning of that, or `latest`; for otel also an evaluation.",
            autocompletion=runs_and_evaluations,
        ),
    ],
    to: Annotated[Literal["mlflow", "wandb", "otel"], typer.Option("--to", help="Where to.")],
    uri: Annotated[str | None, typer.Option(help="MLflow: tracking URI; default: MLFLOW_TRACKING_URI.")] = None,
    experiment: Annotated[str | None, typer.Option(help="MLflow: experiment; default: fapo/PIPELINE.")] = None,
    project: Annotated[str | None, typer.Option(help="W&B: project; default: fapo-PIPELINE.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="W&B: write to disk, for `wandb sync`.")] = False,
    endpoint: Annotated[
        str | None, typer.Option(help="OTLP over HTTP; default: OTEL_EXPORTER_OTLP_ENDPOINT, then localhost:4318.")
    ] = None,
    content: Annotated[bool, typer.Option("--content", help="otel: texts of prompts and replies, too.")] = False,
    include_test: Annotated[bool, typer.Option("--include-test", help="otel: test cases, too.")] = False,
) -> None:
    """Write a finished run to MLflow or Weights & Biases, or send traces over OpenTelemetry. Twice is as once."""
    from importlib.util import find_spec

    from fapo.cli.console import stdout
    from fapo.errors import UsageError
    from fapo.evaluation.evaluate import MANIFEST_FILE
    from fapo.optimize.run_files import RunFiles

    if find_spec(_LIBRARIES[to]) is None:
        raise UsageError(f"--to {to} needs a library: pip install 'fapo[{to}]'")
    for name, target in _BELONGS.items():
        source = context.get_parameter_source(name)
        if target != to and source is not None and source.name != "DEFAULT":
            raise UsageError(f"--{name.replace('_', '-')} belongs to --to {target}")
    directory = find_run(run)
    if (directory / MANIFEST_FILE).is_file():
        if to != "otel":
            raise UsageError(f"an evaluation goes to otel only; give a run of fapo optimize for {to}", path=directory)
        place = _send(directory, None, endpoint, content=content, include_test=True)
    elif to == "otel":
        place = _send(directory, RunFiles(directory), endpoint, content=content, include_test=include_test)
    else:
        figures = _figures(RunFiles(directory))
        if to == "mlflow":
            from fapo.tracking.mlflow_runs import write_run

            place = write_run(figures, uri=uri, experiment=experiment)
        else:
            from fapo.tracking.wandb_runs import write_run as write_to_wandb

            place = write_to_wandb(figures, project=project, folder=directory, offline=offline)
    stdout().print(f"{to}: {place}", markup=False, soft_wrap=True)


def _figures(files: RunFiles) -> RunFigures:
    from fapo.errors import UsageError
    from fapo.optimize.gather import gather
    from fapo.records import BASELINE
    from fapo.tracking.figures import figures_of

    report = gather(files)
    if files.state.finished is None:
        raise UsageError("is not finished: let it end, or go on with fapo optimize --resume", path=files.directory)
    variants = [BASELINE, *(row.id for row in report.summary.variants)]
    texts = {
        variant: {path: data.decode("utf-8", errors="replace") for path, data in files.snapshot(variant).items()}
        for variant in variants
    }
    return figures_of(report, texts)


def _send(run: Path, files: RunFiles | None, endpoint: str | None, *, content: bool, include_test: bool) -> str:
    from fapo.tracking.otel_spans import add_run, open_spans

    name = run.resolve().name
    with open_spans(endpoint=endpoint, run=name) as (spans, sink):
        if files is None:
            cases = _add_evaluation(spans, run, name, content)
        else:
            model = files.asked.optimizer_model or files.config.optimizer
            add_run(spans, files.entries, key=name, pipeline=files.pipeline, model=model)
            cases = sum(
                _add_evaluation(spans, directory, f"{name}/{directory.name}", content)
                for directory in _evaluations(files, include_test)
            )
        sink.flush()
        return f"{sink.sent:,} spans, {cases:,} cases"


def _evaluations(files: RunFiles, include_test: bool) -> Iterator[Path]:
    """Of baseline and best, on validation; with `include_test` on test, too."""
    from fapo.evaluation.evaluate import MANIFEST_FILE
    from fapo.records import BASELINE, Split

    splits: tuple[Split, ...] = ("validation", "test") if include_test else ("validation",)
    for variant in dict.fromkeys((BASELINE, files.state.incumbent)):
        for split in splits:
            directory = files.evaluation_dir(variant, split)
            if (directory / MANIFEST_FILE).is_file():
                yield directory


def _add_evaluation(spans: Spans, directory: Path, key: str, content: bool) -> int:
    from fapo.evaluation.evaluate import MANIFEST_FILE, load_manifest, read_decided
    from fapo.tracking.otel_spans import add_cases

    return add_cases(
        spans, load_manifest(directory), read_decided(directory), key=key,
        began_at=(directory / MANIFEST_FILE).stat().st_mtime, content=content,
    )  # fmt: skip
