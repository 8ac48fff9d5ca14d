"""`fapo show RUN|EVALUATION`: what a run or an evaluation found, read back from disk; unfinished ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fapo.cli.names import Either, find_run

if TYPE_CHECKING:
    from pathlib import Path

    from fapo.evaluation.compare import Arm
    from fapo.report.run_summary import RunSummary

WORST_CASES = 5


def show_command(
    run: Either, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False
) -> None:
    """Show what a run or an evaluation found: scores, variants, failures, cost, and what to do next."""
    from fapo.cli.console import print_json
    from fapo.errors import UsageError
    from fapo.evaluation.compare import read_arm
    from fapo.optimize.run_files import RunFiles
    from fapo.optimize.summarise import summarise
    from fapo.store.files import to_python
    from fapo.store.run_names import kind_of

    directory = find_run(run)
    kind = kind_of(directory)
    if kind is None:
        raise UsageError("neither a run nor an evaluation: it holds no run.json and no evaluation.json", path=directory)
    if kind == "run":
        summary = summarise(RunFiles(directory))
        _show_run(summary, directory) if not as_json else print_json(to_python(summary))
    else:
        arm = read_arm(directory)
        _show_evaluation(arm) if not as_json else print_json(_evaluation_figures(arm))


def _show_run(summary: RunSummary, directory: Path) -> None:
    from rich.markup import escape

    from fapo.cli.console import dollars, stdout
    from fapo.cli.run_output import means_table, show_gains, variant_table
    from fapo.report.run_summary import verdict_sentence

    console, best = stdout(), summary.best
    console.print(f"[bold]{escape(summary.pipeline)}[/]: {escape(directory.name)}, {summary.status}")
    console.print(f"[bold]{escape(verdict_sentence(summary))}[/]")
    console.print()
    if summary.variants:
        console.print(variant_table(summary.variants))
        console.print()
    rows = {"baseline": (summary.baseline.validation, summary.baseline.test)}
    if best.variant != "000":
        rows[f"best ({best.variant})"] = (best.validation, best.test)
    console.print(means_table(rows))
    show_gains(summary.validation_gain, summary.test_gain)
    console.print(f"levels opened: {', '.join(summary.levels) or 'none'}; looks at validation: {summary.looks}")
    usage = summary.usage
    paid = {"task": usage.task, "judge": usage.judge, "optimizer": usage.optimizer}
    console.print(f"paid: {', '.join(f'{name} {dollars(each.cost_usd)}' for name, each in paid.items())}")
    console.print()
    _show_next(summary, directory.name)
    if summary.note:
        console.print(f"[yellow]note[/] {escape(summary.note)}")


def _show_next(summary: RunSummary, name: str) -> None:
    from fapo.cli.console import stdout
    from fapo.report.run_summary import ENDED

    console, best = stdout(), summary.best.variant
    if summary.status == "running":
        console.print(f"follow it: fapo watch {name}", markup=False)
    elif summary.status not in ENDED:
        console.print(f"go on: fapo optimize --resume {name}", markup=False)
    if best != "000":
        arms = f"{name}/evaluations/000-validation {name}/evaluations/{best}-validation"
        console.print(f"what it changes: fapo diff {name}", markup=False)
        console.print(f"take it over:    fapo apply {name}", markup=False)
        console.print(f"case by case:    fapo compare {arms}", markup=False)


def _evaluation_figures(arm: Arm) -> dict[str, Any]:
    from fapo.evaluation.compare import arm_figures
    from fapo.store.files import to_python

    figures: dict[str, Any] = to_python(arm_figures(arm))
    manifest = arm.manifest
    return figures | {
        "evaluation_dir": str(arm.directory),
        "pipeline": manifest.pipeline,
        "variant": manifest.variant,
        "split": manifest.split,
        "note": manifest.sample,
        "trials": manifest.trials,
        "models": manifest.models,
        "steps": [to_python(row) for row in _steps(arm.directory)],
        "failing": [case for case, _ in _worst(arm, None)],
    }


def _show_evaluation(arm: Arm) -> None:
    from rich.markup import escape

    from fapo.cli.console import dollars, stdout
    from fapo.cli.eval_output import step_table
    from fapo.evaluation.compare import arm_figures
    from fapo.store.files import to_python

    console, manifest, name = stdout(), arm.manifest, _short(arm.directory)
    if not any(sample.value is not None for sample in arm.samples.values()):
        console.print(f"[bold]{escape(manifest.pipeline)}[/] on {manifest.split}: no case is decided yet")
        console.print(f"go on: fapo eval --resume {name}", markup=False)
        return
    found = arm_figures(arm)
    variant = "" if manifest.variant == manifest.pipeline else f" {manifest.variant}"
    console.print(f"[bold]{escape(manifest.pipeline)}[/]{variant} on {manifest.split}, "
                  f"by {escape(', '.join(sorted(set(manifest.models.values()))))}")  # fmt: skip
    score = found.score
    console.print(f"mean score [bold]{score.mean:.3f}[/] (95 % interval {score.low:.3f} to {score.high:.3f}) "
                  f"on {score.n} cases")  # fmt: skip
    if found.failures:
        console.print(f"[red]{found.failures} failed in the pipeline[/] (they count as 0)")
    if found.missing:
        console.print(f"[yellow]{found.missing} missing or undecided[/]: fapo eval --resume {escape(name)}")
    console.print()
    console.print(step_table([to_python(row) for row in _steps(arm.directory)]))
    console.print()
    usage = found.usage
    console.print(f"{usage.llm_calls:,} calls, {usage.cached_calls:,} cached, {dollars(usage.cost_usd)}")
    worst = _worst(arm, WORST_CASES)
    if worst:
        console.print(f"lowest: {escape(', '.join(f'{case} ({value:.2g})' for case, value in worst))}")
        console.print(f"look at one:       fapo trace {name} {worst[0][0]}", markup=False)
        console.print(f"where it is lost:  fapo attribute {name}", markup=False)
    if manifest.sample:
        console.print(f"[yellow]note[/] {escape(manifest.sample)}")


def _short(directory: Path) -> str:
    """How a person may name an evaluation again."""
    from fapo.config import read_environment

    runs_dir = read_environment().runs_dir
    absolute = directory.absolute()
    return str(absolute.relative_to(runs_dir)) if absolute.is_relative_to(runs_dir) else str(directory)


def _steps(directory: Path) -> Any:
    from fapo.evaluation.evaluate import load_decided
    from fapo.report.step_table import step_rows

    return step_rows(load_decided(directory).values())


def _worst(arm: Arm, most: int | None) -> list[tuple[str, float]]:
    """Cases with less than the full score, the lowest first."""
    return sorted(((case, mean) for case, mean in arm.means.items() if mean < 1), key=lambda pair: pair[1])[:most]
