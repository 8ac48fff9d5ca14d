"""`fapo eval DIR`: the baseline of a pipeline on a split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fapo.cli.names import evaluations, find_run, pipelines

if TYPE_CHECKING:
    from rich.console import Console

    from fapo.ci.outputs import Check
    from fapo.cli.gate import Base, Gates
    from fapo.config import Environment, EvalConfig
    from fapo.evaluation.dry_run import DryRun
    from fapo.evaluation.evaluate import Evaluation, EvaluationPlan
    from fapo.evaluation.project import Project
    from fapo.llm.gateway import Gateway


def eval_command(
    context: typer.Context,
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR", help="Pipeline directory, or the name of a built-in one.", autocompletion=pipelines
        ),
    ] = None,
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Which split to run.")] = "validation",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N cases.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Samples of each case.")] = 1,
    model: Annotated[
        str | None, typer.Option(help="Replaces the pipeline's `task` model; ROLE=MODEL,... others.")
    ] = None,
    budget_usd: Annotated[float | None, typer.Option(min=0, help="Limit on what this command spends.")] = None,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Limit on paid model calls.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Limit on tokens of paid calls.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests a minute to each provider.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens a minute to each provider.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Model calls in flight at once.")] = 32,
    isolation: Annotated[Literal["auto", "none"], typer.Option(help="How pipeline code is confined.")] = "auto",
    full: Annotated[bool, typer.Option("--full", help="The whole benchmark, not its sample: fapo benchmark.")] = False,
    paper_rules: Annotated[
        bool, typer.Option("--paper-rules", help="Without the benchmark's guards, as in what was published.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run a few cases, and say what all of them would take and cost.")
    ] = False,
    sample: Annotated[int, typer.Option(min=1, help="Cases that --dry-run runs.")] = 5,
    fail_under: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="SCORE", help="Exit with 1 where the mean score is lower.")
    ] = None,
    not_worse_than: Annotated[
        str | None,
        typer.Option(
            metavar="REF|EVALUATION",
            help="Exit with 1 unless it is shown to be no more than --margin worse "
            "than DIR is in a commit (a branch, FETCH_HEAD), or than an evaluation was.",
        ),
    ] = None,
    margin: Annotated[float, typer.Option(min=0, max=100, metavar="POINTS", help="For --not-worse-than.")] = 2.0,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write these conditions as JUnit XML.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="EVALUATION",
            help="Go on with an interrupted evaluation, as it was asked for.",
            autocompletion=evaluations,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Run a pipeline over a split and show its score, failures, and what each step does and costs."""  # fmt: skip
    from fapo.cli.gate import Gates, tell_faults
    from fapo.cli.running import run_to_end
    from fapo.config import read_environment
    from fapo.errors import UsageError

    if pipeline is None and resume is None:
        raise UsageError("give a pipeline directory, or --resume EVALUATION")
    if dry_run and resume is not None:
        raise UsageError("--dry-run plans a new evaluation; leave out --resume")
    if not dry_run and "sample" in _given(context, {"sample": sample}):
        raise UsageError("--sample belongs to --dry-run; --limit evaluates the first cases alone")
    gates = Gates(fail_under, not_worse_than, margin, junit)
    if not gates.any and (junit is not None or "margin" in _given(context, {"margin": margin})):
        raise UsageError("--margin and --junit belong to --fail-under or --not-worse-than")
    if gates.any and dry_run:
        raise UsageError("--dry-run decides nothing; leave out --fail-under and --not-worse-than")
    given = _given(context, {
        "split": split, "limit": limit, "trials": trials, "model": model, "budget_usd": budget_usd,
        "max_calls": max_calls, "max_tokens": max_tokens, "rpm": rpm, "tpm": tpm, "concurrency": concurrency,
        "isolation": isolation, "full": full, "paper_rules": paper_rules,
    })  # fmt: skip
    environment = read_environment()
    if full:
        given["full"] = environment.benchmarks_dir
    if resume is not None:
        begun = find_run(resume, "evaluation")
        work = _resume(begun, pipeline, given, environment, gates, as_json)
        run_to_end(tell_faults(work, begun.name, gates, environment))
    elif dry_run:
        run_to_end(_dry_run(str(pipeline), _config(given), environment, sample, as_json))
    else:
        work = _begin(str(pipeline), _config(given), environment, gates, as_json)
        run_to_end(tell_faults(work, Path(str(pipeline)).name, gates, environment))


def _given(context: typer.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The options that were named on the command line."""
    found = {}
    for name, value in options.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            found[name] = value
    return found


def _config(options: dict[str, Any]) -> EvalConfig:
    from pydantic import ValidationError

    from fapo.config import EvalConfig
    from fapo.errors import UsageError

    try:
        return EvalConfig.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise UsageError(f"{option}: {first['msg']}") from None


async def _begin(pipeline: str, config: EvalConfig, environment: Environment, gates: Gates, as_json: bool) -> int:
    from fapo.cli.console import say_unpriced, stderr
    from fapo.cli.gate import open_base
    from fapo.evaluation.connect import connect
    from fapo.evaluation.plan import plan_evaluation
    from fapo.evaluation.project import find_pipeline, open_project
    from fapo.evaluation.request import EvaluationRequest, write_cases, write_request

    source = find_pipeline(pipeline)
    project = open_project(source, config)
    console = stderr(plain=environment.plain)
    _say_notes(console, project, config)
    with open_base(gates, source, project, config) as base:
        models = [*project.model_names, *(base.models if base is not None else ())]
        async with connect(models, environment, limits=config) as connection:
            say_unpriced(console, connection.unpriced)
            plan = plan_evaluation(project, config, environment.runs_dir)
            write_request(plan.directory, EvaluationRequest(source, config))
            write_cases(plan.directory, plan.cases, project.clusters(config.split))
            evaluation = await _evaluate(plan, connection.gateway, console, plain=environment.plain)
            judged = _Judged(gates, base, environment)
            checks = await judged.checks(evaluation, project, config, connection.gateway, console)
    return _report(evaluation, project, console, checks, as_json=as_json, ran=True)


async def _resume(
    directory: Path, pipeline: str | None, given: dict[str, Any], environment: Environment, gates: Gates, as_json: bool
) -> int:
    """Go on with what is missing; an evaluation that is finished needs neither a worker nor a model."""
    from fapo.cli.console import say_unpriced, stderr
    from fapo.cli.gate import open_base
    from fapo.errors import UsageError
    from fapo.evaluation.connect import connect
    from fapo.evaluation.evaluate import load_decided
    from fapo.evaluation.plan import plan_evaluation
    from fapo.evaluation.request import read_request

    request = read_request(directory)
    config = _config(request.config.model_dump() | given)
    for name in ("split", "limit", "trials", "model"):
        before, now = getattr(request.config, name), getattr(config, name)
        if now != before:
            was = "not given" if before is None else before
            raise UsageError(f"--{name} was {was} when it began; leave it out, or begin anew", path=directory)
    project = _frozen_project(directory, pipeline, request.source, config)
    plan = plan_evaluation(project, config, environment.runs_dir, resume=str(directory))
    missing = len(plan.cases) * config.trials - len(load_decided(directory))
    console = stderr(plain=environment.plain)
    _say_notes(console, project, config)
    with open_base(gates, request.source, project, config) as base:
        models = [*(project.model_names if missing else ()), *(base.models if base is not None else ())]
        async with connect(models, environment, limits=config) as connection:
            say_unpriced(console, connection.unpriced)
            evaluation = await _evaluate(
                plan, connection.gateway, console, plain=environment.plain, alone=bool(missing)
            )
            judged = _Judged(gates, base, environment)
            checks = await judged.checks(evaluation, project, config, connection.gateway, console)
    return _report(evaluation, project, console, checks, as_json=as_json, ran=bool(missing))


def _frozen_project(directory: Path, pipeline: str | None, source: Path, config: EvalConfig) -> Project:
    """The project as it was when the evaluation began, with data and score where its source is now."""
    from fapo.errors import UsageError
    from fapo.evaluation.project import find_pipeline, open_project
    from fapo.store.variants import snapshot_digest, take_snapshot

    frozen = directory / "pipeline"
    if pipeline is not None:
        found = find_pipeline(pipeline).resolve()
        if found != source and snapshot_digest(take_snapshot(found, hard_links=True)) != snapshot_digest(
            take_snapshot(frozen)
        ):
            raise UsageError(f"holds an evaluation of {source}, not of {found}", path=directory)
        source = found
    if not source.is_dir():
        raise UsageError(
            f"its pipeline is no longer in {source}; say where: fapo eval DIR --resume RUN", path=directory
        )
    return open_project(frozen, config, data_from=source)


async def _dry_run(pipeline: str, config: EvalConfig, environment: Environment, sample: int, as_json: bool) -> int:
    import asyncio
    import tempfile

    from fapo.cli.console import print_json, say_unpriced, stderr
    from fapo.cli.eval_output import dry_run_figures, show_dry_run
    from fapo.evaluation.connect import connect
    from fapo.evaluation.plan import plan_evaluation
    from fapo.evaluation.project import find_pipeline, open_project
    from fapo.llm import client

    project = open_project(find_pipeline(pipeline), config)
    console = stderr(plain=environment.plain)
    _say_notes(console, project, config)
    async with connect(project.model_names, environment, limits=config, forecast=True) as connection:
        say_unpriced(console, connection.unpriced)
        await asyncio.to_thread(client.load)  # or else the first case seems to take seconds
        with tempfile.TemporaryDirectory(prefix="fapo-dry-run-") as scratch:
            plan = plan_evaluation(project, config, Path(scratch))
            found = await _forecast(plan, config, connection.gateway, console, sample=sample, plain=environment.plain)
    if as_json:
        print_json(dry_run_figures(found, project, config))
    else:
        show_dry_run(found, project, config)
    return 0


async def _forecast(
    plan: EvaluationPlan, config: EvalConfig, gateway: Gateway, console: Console, *, sample: int, plain: bool
) -> DryRun:
    from fapo.cli.console import CaseProgress
    from fapo.evaluation.dry_run import dry_run

    total = min(sample, len(plan.cases))
    progress = CaseProgress(console, f"{plan.spec.name}: {total} of {len(plan.cases)} cases", total, plain=plain)
    try:
        return await dry_run(plan, gateway, progress, sample=sample, limits=config)
    finally:
        progress.stop()


def _say_notes(console: Console, project: Project, config: EvalConfig) -> None:
    if project.sample_note:
        console.print(f"[yellow]note[/] {project.sample_note}")
    if config.isolation == "none":
        console.print("[yellow]note[/] --isolation none: pipeline code can read labels and keys on this machine")


async def _evaluate(
    plan: EvaluationPlan, gateway: Gateway, console: Console, *, plain: bool, alone: bool = True
) -> Evaluation:
    """Evaluate, with the directory locked: `alone` is not needed to read one that is finished."""
    import asyncio
    from contextlib import nullcontext

    from rich.markup import escape

    from fapo.cli.console import CaseProgress
    from fapo.errors import BudgetExceeded, ProviderError, StorageError
    from fapo.evaluation.evaluate import evaluate
    from fapo.store.files import lock_directory

    go_on = f"what is done is saved; go on with: fapo eval --resume {plan.directory}"
    total = len(plan.cases) * plan.manifest.trials
    with lock_directory(plan.directory) if alone else nullcontext():
        progress = CaseProgress(console, f"{plan.spec.name} on {plan.manifest.split}", total, plain=plain)
        try:
            return await evaluate(plan, gateway, progress)
        except (BudgetExceeded, ProviderError, StorageError) as error:
            raise type(error)(f"{error}; {go_on}") from None
        except asyncio.CancelledError:
            progress.stop()
            console.print(escape(go_on))
            raise
        finally:
            progress.stop()


@dataclass(frozen=True, slots=True)
class _Judged:
    """The conditions on an evaluation, held against it once it is there."""

    gates: Gates
    base: Base | None
    environment: Environment

    async def checks(
        self, evaluation: Evaluation, project: Project, config: EvalConfig, gateway: Gateway, console: Console
    ) -> list[Check]:
        """What became of the conditions; none where cases are undecided."""
        from fapo.cli.gate import compare_with, gate_checks, leave_gates
        from fapo.evaluation.compare import read_arm
        from fapo.evaluation.plan import plan_evaluation
        from fapo.evaluation.request import EvaluationRequest, write_cases, write_request

        if not self.gates.any or evaluation.failed("provider"):
            return []
        base, found = self.base, None
        if base is not None and not base.same:
            arm = base.arm
            if base.project is not None:
                plan = plan_evaluation(base.project, config, self.environment.runs_dir)
                write_request(plan.directory, EvaluationRequest(project.directory, config))
                write_cases(plan.directory, plan.cases, project.clusters(config.split))
                console.print(f"the base, {base.name}:", markup=False)
                await _evaluate(plan, gateway, console, plain=self.environment.plain)
                arm = read_arm(plan.directory)
            assert arm is not None
            found = compare_with(base, arm, evaluation, project, self.gates.margin)
        checks = gate_checks(self.gates, evaluation.mean, base, found)
        leave_gates(checks, project.spec.name, self.gates, self.environment, seconds=evaluation.wall_s)
        return checks


def _report(
    evaluation: Evaluation, project: Project, console: Console, checks: list[Check], *, as_json: bool, ran: bool
) -> int:
    from rich.markup import escape

    from fapo.cli.console import print_json
    from fapo.cli.eval_output import figures, show, show_checks, undecided_line
    from fapo.store.files import to_python

    found = figures(evaluation, project, ran=ran)
    if as_json:
        print_json(found | ({"gates": [to_python(check) for check in checks]} if checks else {}))
        if found["undecided"]:
            console.print(escape(undecided_line(found)))
    else:
        show(evaluation, project, found)
        show_checks(checks)
    if found["undecided"]:
        return 3
    return 0 if all(check.passed for check in checks) else 1
