"""`fapo eval DIR`: the baseline of a pipeline on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from fapo.config import Environment, EvalConfig
    from fapo.evaluation.evaluate import Evaluation
    from fapo.evaluation.project import Project

WORST_CASES = 5


def eval_command(
    pipeline: Annotated[str, typer.Argument(metavar="DIR", help="Pipeline directory, or the name of a built-in one.")],
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Which split to run.")] = "validation",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N cases.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Samples of each case.")] = 1,
    model: Annotated[
        str | None, typer.Option(help="Replaces the pipeline's `task` model (a LiteLLM model string).")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Cases in flight at once.")] = 32,
    isolation: Annotated[Literal["auto", "none"], typer.Option(help="How pipeline code is confined.")] = "auto",
    resume: Annotated[str | None, typer.Option(metavar="DIR", help="Go on with an interrupted evaluation.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Run a pipeline over a split and show its score, failures, and what each step does and costs."""
    from fapo.cli.running import run_to_end
    from fapo.config import EvalConfig, read_environment

    config = EvalConfig(
        split=split, limit=limit, trials=trials, model=model, concurrency=concurrency, isolation=isolation
    )
    run_to_end(_evaluate(pipeline, config, read_environment(), resume, as_json))


async def _evaluate(
    pipeline: str, config: EvalConfig, environment: Environment, resume: str | None, as_json: bool
) -> int:
    from fapo.cli.console import CaseProgress, print_json, stderr
    from fapo.evaluation.connect import connect
    from fapo.evaluation.evaluate import evaluate
    from fapo.evaluation.plan import plan_evaluation
    from fapo.evaluation.project import find_pipeline, load_project
    from fapo.store.files import lock_directory

    project = load_project(find_pipeline(pipeline), model=config.model)
    plan = plan_evaluation(project, config, environment.runs_dir, resume=resume)
    console = stderr(plain=environment.plain)
    if project.sample_note:
        console.print(f"[yellow]note[/] {project.sample_note}")
    if config.isolation == "none":
        console.print("[yellow]note[/] --isolation none: pipeline code can read labels and keys on this machine")
    async with connect(project.spec.models.values(), environment) as connection:
        total = len(plan.cases) * config.trials
        progress = CaseProgress(console, f"{project.spec.name} on {config.split}", total, plain=environment.plain)
        try:
            with lock_directory(plan.directory):
                evaluation = await evaluate(plan, connection.gateway, progress)
        finally:
            progress.stop()
    found = _figures(evaluation, project)
    if as_json:
        print_json(found)
    else:
        _show(evaluation, project, found)
    return 3 if evaluation.failed("provider") else 0


def _figures(evaluation: Evaluation, project: Project) -> dict[str, Any]:
    from fapo.report.step_table import step_rows
    from fapo.stats import mean_interval
    from fapo.store.files import to_python

    values = evaluation.values
    names = project.clusters(evaluation.manifest.split)
    clusters = None if names is None else [names[case] for case in values]
    interval = mean_interval(list(values.values()), clusters) if values else None
    score = {"mean": interval.mean, "ci95": [interval.low, interval.high], "n": interval.n} if interval else None
    return {
        "pipeline": project.spec.name,
        "split": evaluation.manifest.split,
        "note": project.sample_note,
        "score": score or {"mean": None, "ci95": None, "n": 0},
        "failures": len(evaluation.failed("pipeline")),
        "undecided": len(evaluation.failed("provider")),
        "usage": to_python(evaluation.usage),
        "wall_s": round(evaluation.wall_s, 3),
        "steps": [to_python(row) for row in step_rows(evaluation.records)],
        "isolation": evaluation.isolation,
        "evaluation_dir": str(evaluation.directory),
    }


def _show(evaluation: Evaluation, project: Project, found: dict[str, Any]) -> None:
    from rich.markup import escape

    from fapo.cli.console import count, dollars, stdout, table
    from fapo.report.step_table import step_rows

    console = stdout()
    score = found["score"]
    name, split = project.spec.name, evaluation.manifest.split
    if score["mean"] is None:
        console.print(f"[bold]{name}[/] on {split}: no case was decided")
    else:
        low, high = score["ci95"]
        console.print(f"[bold]{name}[/] on {split}: mean score [bold]{score['mean']:.3f}[/] "
                      f"(95 % interval {low:.3f} to {high:.3f}) on {score['n']} cases")  # fmt: skip
    if found["failures"]:
        console.print(f"[red]{found['failures']} cases failed in the pipeline[/] (they count as 0)")
    if found["undecided"]:
        console.print(
            f"[yellow]{found['undecided']} cases are undecided[/]: the provider failed. "
            f"Decide them with --resume {evaluation.directory}"
        )
    steps = table(
        "step",
        "calls",
        "cached",
        "tokens in",
        "tokens out",
        "cost",
        "p50 s",
        "p95 s",
        "errors",
        right=lambda c: c != "step",
    )
    for row in step_rows(evaluation.records):
        paid = (str(row.cached), count(row.input_tokens), count(row.output_tokens), dollars(row.cost_usd))
        shown = paid if row.kind == "llm" else ("",) * len(paid)
        times = (_seconds(row.p50_s), _seconds(row.p95_s))
        steps.add_row(escape(row.step), str(row.calls), *shown, *times, str(row.errors or ""))
    console.print()
    console.print(steps)
    _show_worst(evaluation, project)
    console.print()
    usage = evaluation.usage
    console.print(f"{usage.llm_calls} calls, {usage.cached_calls} cached, {dollars(usage.cost_usd)}, "
                  f"{evaluation.wall_s:.1f} s, code confined by {evaluation.isolation}")  # fmt: skip
    console.print(f"traces: {evaluation.directory}/traces.jsonl")
    if project.sample_note:
        console.print(f"[yellow]note[/] {project.sample_note}")


def _show_worst(evaluation: Evaluation, project: Project) -> None:
    """The worst cases by the step that they are blamed on."""
    from rich.markup import escape

    from fapo.attribution.rules import attribute
    from fapo.cli.console import stdout, table

    cases = {case.id: case for case in project.cases(evaluation.manifest.split)}
    found = attribute(cases, evaluation.records)
    if not found.by_step:
        return
    worst = table(
        "lost at",
        "why",
        "cases",
        "share of loss",
        "for example",
        right=lambda c: c in ("cases", "share of loss"),
    )
    for blame in found.by_step[:WORST_CASES]:
        worst.add_row(
            escape(blame.step or "?"),
            blame.category,
            str(blame.cases),
            f"{blame.share:.0%}",
            escape(", ".join(blame.examples[:2])),
        )
    console = stdout()
    console.print()
    console.print(worst)
    example = found.by_step[0].examples[0]
    console.print(f"look at one: fapo trace {evaluation.directory} {escape(example)}")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
