"""What `fapo eval` prints: the figures of an evaluation, and the forecast of a dry run."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from fapo.cli.console import count, dollars, stdout, table

if TYPE_CHECKING:
    from fapo.ci.outputs import Check
    from fapo.config import EvalConfig
    from fapo.evaluation.dry_run import DryRun
    from fapo.evaluation.evaluate import Evaluation
    from fapo.evaluation.project import Project
    from fapo.stats import Forecast

WORST_CASES = 5
TRACED_CASES = 2000
"""Of a larger evaluation, blame is laid by its first cases."""


def figures(evaluation: Evaluation, project: Project, *, ran: bool) -> dict[str, Any]:
    """The result of `fapo eval --json`. `ran` is False where a finished evaluation was only read back."""
    from fapo.report.beside import beside, guard_lines
    from fapo.report.step_table import step_rows
    from fapo.stats import mean_interval, repeatability
    from fapo.store.files import to_python

    values = evaluation.values
    names = project.clusters(evaluation.manifest.split)
    clusters = None if names is None else [names[case] for case in values]
    interval = mean_interval(list(values.values()), clusters) if values else None
    score = {"mean": interval.mean, "ci95": [interval.low, interval.high], "n": interval.n} if interval else None
    samples: dict[str, list[float]] = {}
    for result in evaluation.results:
        if result.value is not None:
            samples.setdefault(result.case_id, []).append(result.value)
    agreement = repeatability(samples)
    others = beside(evaluation.read_records())
    return {
        "pipeline": project.spec.name,
        "split": evaluation.manifest.split,
        "note": project.sample_note,
        "score": score or {"mean": None, "ci95": None, "n": 0},
        "beside": to_python(others),
        "guards": list(guard_lines(project.benchmark.guards, others)) if project.guarded else "off",
        "trials": evaluation.manifest.trials,
        "repeatability": None if agreement is None else to_python(agreement),
        "failures": len(evaluation.failed("pipeline")),
        "undecided": len(evaluation.failed("provider")),
        "usage": to_python(evaluation.usage),
        "judge": None
        if project.judge is None
        else {"model": project.judge, "usage": to_python(evaluation.judge_usage)},
        "wall_s": round(evaluation.wall_s, 3),
        "steps": [to_python(row) for row in step_rows(evaluation.read_records())],
        "isolation": evaluation.isolation if ran else None,
        "evaluation_dir": str(evaluation.directory),
    }


def show(evaluation: Evaluation, project: Project, found: dict[str, Any]) -> None:
    console = stdout()
    score, name, split = found["score"], project.spec.name, found["split"]
    if score["mean"] is None:
        console.print(f"[bold]{name}[/] on {split}: no case was decided")
    else:
        low, high = score["ci95"]
        console.print(f"[bold]{name}[/] on {split}: mean score [bold]{score['mean']:.3f}[/] "
                      f"(95 % interval {low:.3f} to {high:.3f}) on {score['n']} cases")  # fmt: skip
    if found["beside"]["parts"]:
        parts = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in found["beside"]["parts"].items())
        console.print(f"beside it: {escape(parts)}")
    for line in found["guards"] if project.guarded else ["off"]:
        console.print(f"guard: {escape(line)}")
    if found["repeatability"]:
        console.print(f"{found['trials']} samples of each case: {repeatability_line(found['repeatability'])}")
    ran = "cases" if found["trials"] == 1 else "samples"
    if found["failures"]:
        console.print(f"[red]{found['failures']} {ran} failed in the pipeline[/] (they count as 0)")
    if found["undecided"]:
        console.print(f"[yellow]{escape(undecided_line(found))}[/]")
    console.print()
    console.print(step_table(found["steps"]))
    _show_worst(evaluation, project)
    console.print()
    usage = evaluation.usage
    how = f"{found['wall_s']:.1f} s, {_confinement(found['isolation'])}" if found["isolation"] else "read back"
    console.print(f"{usage.llm_calls} calls, {usage.cached_calls} cached, {dollars(usage.cost_usd)}, {how}")
    if found["judge"]:
        asked = evaluation.judge_usage
        console.print(f"judge {escape(str(project.judge))}: {asked.llm_calls} calls, {asked.cached_calls} cached, "
                      f"{dollars(asked.cost_usd)}")  # fmt: skip
    console.print(f"traces: {evaluation.directory}/traces.jsonl")
    if project.sample_note:
        console.print(f"[yellow]note[/] {project.sample_note}")


def _confinement(level: str) -> str:
    return "code not confined" if level == "none" else f"code confined by {level}"


def show_checks(checks: list[Check]) -> None:
    """The conditions that the evaluation was to meet."""
    for check in checks:
        verdict = "[green]passed[/]" if check.passed else "[red]failed[/]"
        stdout().print(f"{verdict}  {check.name}: {escape(check.message)}")


def undecided_line(found: dict[str, Any]) -> str:
    cases = "cases are" if found["trials"] == 1 else "samples are"
    where = f"decide them with: fapo eval --resume {found['evaluation_dir']}"
    return f"{found['undecided']} {cases} undecided, since the provider failed; {where}"


def repeatability_line(found: dict[str, Any]) -> str:
    """How far the samples of a case agree, in a sentence."""
    text = f"{found['unsteady']} of {found['cases']} cases scored differently among them"
    share = found["share_within"]
    return text if share is None else f"{text}; {share:.0%} of a sample's variance lies within cases"


def step_table(rows: Iterable[dict[str, Any]]) -> Table:
    """A row for each step: what it did, and what it cost."""
    columns = ("step", "calls", "cached", "tokens in", "tokens out", "cost", "p50 s", "p95 s", "errors")
    steps = table(*columns, right=lambda c: c != "step")
    for row in rows:
        paid = (str(row["cached"]), count(row["input_tokens"]), count(row["output_tokens"]), dollars(row["cost_usd"]))
        shown = paid if row["kind"] == "llm" else ("",) * len(paid)
        times = (_seconds(row["p50_s"]), _seconds(row["p95_s"]))
        steps.add_row(escape(row["step"]), str(row["calls"]), *shown, *times, str(row["errors"] or ""))
    return steps


def _show_worst(evaluation: Evaluation, project: Project) -> None:
    """The worst cases by the step that they are blamed on."""
    from fapo.attribution.rules import attribute

    cases = {case.id: case for case in project.cases(evaluation.manifest.split)}
    found = attribute(cases, list(islice(evaluation.read_records(), TRACED_CASES)))
    if not found.by_step:
        return
    columns = ("lost at", "why", "cases", "share of loss", "for example")
    worst = table(*columns, right=lambda c: c in ("cases", "share of loss"))
    for blame in found.by_step[:WORST_CASES]:
        worst.add_row(escape(blame.step or "?"), blame.category, str(blame.cases), f"{blame.share:.0%}",
                      escape(", ".join(blame.examples[:2])))  # fmt: skip
    console = stdout()
    console.print()
    console.print(worst)
    if len(evaluation.results) > TRACED_CASES:
        console.print(f"judged by the first {TRACED_CASES:,} of them")
    example = found.by_step[0].examples[0]
    console.print(f"look at one: fapo trace {escape(evaluation.directory.name)} {escape(example)}")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def dry_run_figures(found: DryRun, project: Project, config: EvalConfig) -> dict[str, Any]:
    """The result of `fapo eval --dry-run --json`."""
    from fapo.store.files import to_python

    names = ("calls", "input_tokens", "output_tokens", "cost_usd", "minutes")
    forecasts = {name: getattr(found, name) for name in names}
    return {
        "dry_run": True,
        "pipeline": project.spec.name,
        "split": config.split,
        "note": project.sample_note,
        "cases": found.cases,
        "trials": found.trials,
        "concurrency": found.concurrency,
        "sampled": [
            {name: value for name, value in to_python(case).items() if name != "models"} for case in found.sampled
        ],
        "usage": to_python(found.usage),
        "estimate": {name: None if value is None else to_python(value) for name, value in forecasts.items()},
        "exceeded": list(found.exceeded),
    }


def show_dry_run(found: DryRun, project: Project, config: EvalConfig) -> None:
    console = stdout()
    trials = "" if found.trials == 1 else f" × {found.trials} samples"
    console.print(f"[bold]{project.spec.name}[/] on {config.split}: {found.cases:,} cases{trials}, "
                  f"judged by {len(found.sampled)} of them")  # fmt: skip
    _show_faults(found)
    console.print()
    rows = table("estimate", "expected", "95 % range", right=lambda c: c != "estimate")
    rows.add_row("calls", *_range(found.calls, whole))
    rows.add_row("tokens in", *_range(found.input_tokens, whole))
    rows.add_row("tokens out", *_range(found.output_tokens, whole))
    rows.add_row("cost", *_range(found.cost_usd, dollars))
    rows.add_row("time", *_range(found.minutes, _time))
    console.print(rows)
    console.print()
    paced = [f"--{name} {limit}" for name, limit in (("rpm", config.rpm), ("tpm", config.tpm)) if limit is not None]
    console.print(f"time: with {' and '.join([f'--concurrency {found.concurrency}', *paced])}")
    console.print("an upper bound: replies that the cache holds already are not paid for again")
    usage = found.usage
    console.print(f"used now: {usage.llm_calls} calls, {usage.cached_calls} cached, {dollars(usage.cost_usd)}; "
                  "the replies are kept, and count in the estimate")  # fmt: skip
    for sentence in found.exceeded:
        console.print(f"[yellow]{escape(sentence)}[/]")
    if project.sample_note:
        console.print(f"[yellow]note[/] {project.sample_note}")


def _show_faults(found: DryRun) -> None:
    failed = [case for case in found.sampled if case.failure is not None]
    if failed:
        undecided = sum(case.undecided for case in failed)
        left_out = f", {undecided} of them at the provider, which are left out" if undecided else ""
        first = escape(f"{failed[0].case_id}: {failed[0].failure}")
        stdout().print(f"[red]{len(failed)} of them failed[/]{left_out}; {first}")


def whole(value: float) -> str:
    return f"{value:,.0f}"


def _time(minutes: float) -> str:
    return f"{60 * minutes:.1f} s" if minutes < 1 else f"{minutes:.1f} min"


def _range(forecast: Forecast | None, shown: Any) -> tuple[str, str]:
    if forecast is None:
        return "unknown", ""
    if forecast.low is None or forecast.high is None:
        return shown(forecast.expected), "unknown"
    return shown(forecast.expected), f"{shown(forecast.low)} to {shown(forecast.high)}"
