"""`fapo optimize DIR`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fapo.cli.names import find_run, pipelines, runs

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from fapo.cli.agents import AgentChoice
    from fapo.config import Environment, OptimizeConfig
    from fapo.evaluation.connect import Connection
    from fapo.evaluation.project import Project
    from fapo.optimize.reflection import ReflectiveSearch
    from fapo.optimize.run import Run
    from fapo.optimize.search import Search
    from fapo.report.run_summary import RunSummary


def optimize_command(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR", help="Pipeline directory, or the name of a built-in one.", autocompletion=pipelines
        ),
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(min=0, help="Limit on task, judge and optimizer spending.")
    ] = None,
    max_variants: Annotated[int, typer.Option(min=1, help="Variants that validation may be asked about.")] = 12,
    max_minutes: Annotated[float | None, typer.Option(min=0, help="Wall-clock limit of the search.")] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=4, help="Stop after so many rejected variants in a row since one was accepted or a level opened."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, max=50, help="Samples of each validation and test case.")] = 1,
    target: Annotated[float | None, typer.Option(min=0, max=1, help="Stop when validation reaches this mean.")] = None,
    scope: Annotated[str, typer.Option(help="Levels that may be opened at all.")] = "prompt,parameter,structure",
    model: Annotated[
        str | None, typer.Option(help="Replaces the pipeline's `task` model; ROLE=MODEL,... others.")
    ] = None,
    optimizer_model: Annotated[
        str | None, typer.Option(help="The coding agent's model; codex/MODEL for Codex in place of Claude Code.")
    ] = None,
    optimizer: Annotated[
        Literal["fapo", "gepa"], typer.Option(help="The coding agent with fapo's rules, or GEPA (extra `gepa`).")
    ] = "fapo",
    seed: Annotated[int, typer.Option(min=0, help="Draws other samples of the models, and seeds GEPA.")] = 0,
    search_calls: Annotated[
        int | None, typer.Option(min=1, help="Task-model calls that the search may make, cached ones included.")
    ] = None,
    accept: Annotated[
        Literal["investing", "strict", "mean"],
        typer.Option(
            help="investing: of accepted variants, at most alpha useless; strict: at most alpha of searches "
            "accept any useless one; mean: a higher mean, as in the paper."
        ),
    ] = "investing",
    alpha: Annotated[
        float | None, typer.Option(min=0, max=0.5, help="What --accept may get wrong [default: 0.2, strict 0.05].")
    ] = None,
    min_gain: Annotated[float, typer.Option(min=0, max=1, help="Accept no smaller gain on validation.")] = 0.0,
    tolerance: Annotated[
        float, typer.Option(min=0, max=0.5, help="Score that simpler variants may cost, all in all.")
    ] = 0.0,
    max_cost_growth: Annotated[
        float | None, typer.Option(min=0, help="Reject what costs more by this share for less than --worth.")
    ] = None,
    worth: Annotated[float, typer.Option(min=0, max=1, help="Gain that is worth --max-cost-growth.")] = 0.05,
    teacher: Annotated[
        str | None, typer.Option(help="A stronger model; replay shows with it what better prompts could reach.")
    ] = None,
    noise_floor: Annotated[bool, typer.Option(help="Run the baseline twice, to see how far equals differ.")] = True,
    parallel: Annotated[
        int, typer.Option(min=1, max=8, help="Agents at the same time, each in a workspace of its own.")
    ] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="Model calls in flight at once.")] = 32,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Limit on paid model calls.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Limit on tokens of paid calls.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests a minute to each provider.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens a minute to each provider.")] = None,
    review_agent: Annotated[bool, typer.Option(help="Let a second agent look at each change first.")] = True,
    isolation: Annotated[Literal["auto", "none"], typer.Option(help="How agent and pipeline are confined.")] = "auto",
    full: Annotated[bool, typer.Option("--full", help="The whole benchmark, not its sample: fapo benchmark.")] = False,
    paper_rules: Annotated[
        bool, typer.Option("--paper-rules", help="Without the benchmark's guards, as in what was published.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Go on with an interrupted run, within its limits.", autocompletion=runs),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Improve a pipeline with the coding agent; validate every variant; open test once, at the end."""
    from pydantic import ValidationError

    from fapo.cli.running import run_to_end
    from fapo.config import OptimizeConfig, read_environment
    from fapo.errors import UsageError

    if (pipeline is None) == (resume is None):
        raise UsageError("give a pipeline directory, or --resume RUN")
    environment = read_environment()
    try:
        config = OptimizeConfig.model_validate(
            {"budget_usd": budget_usd, "max_variants": max_variants, "max_minutes": max_minutes, "target": target,
             "patience": patience, "trials": trials,
             "scope": [level.strip() for level in scope.split(",")], "model": model, "optimizer_model": optimizer_model,
             "accept": accept, "concurrency": concurrency, "isolation": isolation, "max_calls": max_calls,
             "max_tokens": max_tokens, "rpm": rpm, "tpm": tpm, "alpha": alpha, "min_gain": min_gain,
             "tolerance": tolerance, "max_cost_growth": max_cost_growth, "worth": worth, "noise_floor": noise_floor,
             "teacher": teacher, "review_agent": review_agent, "parallel": parallel,
             "optimizer": optimizer, "seed": seed, "search_calls": search_calls,
             "full": environment.benchmarks_dir if full else None, "paper_rules": paper_rules}
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise UsageError(f"{option}: {first['msg']}") from None
    begun = find_run(resume, "run") if resume is not None else None
    run_to_end(_optimize(pipeline, config, environment, begun, as_json))


async def _optimize(
    pipeline: str | None, config: OptimizeConfig, environment: Environment, resume: Path | None, as_json: bool
) -> int:
    from fapo.cli.console import print_json
    from fapo.evaluation.project import find_pipeline, open_project
    from fapo.optimize.start import reopen_run
    from fapo.store.files import to_python

    if resume is None:
        source = find_pipeline(str(pipeline))
        project = open_project(source, config)
    else:
        project, config, source = reopen_run(resume)
    summary = await run_optimization(source, project, config, environment, resume=resume)
    if as_json:
        print_json(to_python(summary))
    else:
        _show(summary)
    return 0


async def run_optimization(
    source: Path, project: Project, config: OptimizeConfig, environment: Environment, *, resume: Path | None = None
) -> RunSummary:
    """Optimize a pipeline, or go on with an interrupted run, and tell how it goes on stderr."""
    from fapo.cli.agents import agent_of, reflection_model_of
    from fapo.cli.console import TerminalNarrator, say_unpriced, stderr
    from fapo.evaluation.connect import check_models, connect
    from fapo.optimize.outcome import conclude
    from fapo.optimize.reflection import require_gepa
    from fapo.optimize.run import Run
    from fapo.optimize.start import create_run
    from fapo.store.files import lock_directory

    console = stderr(plain=environment.plain)
    named = config.optimizer_model or project.spec.optimizer_model
    models = [*project.model_names, *([config.teacher] if config.teacher else [])]
    agent = None
    if config.optimizer == "gepa":
        require_gepa()
        optimizer = reflection_model_of(project.spec.models.values(), named)
        models.append(optimizer)
    else:
        agent = agent_of(project.spec.models.values(), named)
        optimizer = agent.named
    check_models(models)
    if agent is not None:
        agent.require_credentials(environment)
    async with connect(models, environment, limits=config, standin=agent is not None and agent.standin) as connection:
        directory = (
            resume.absolute()
            if resume is not None
            else create_run(source, project, config, environment.runs_dir, optimizer_model=optimizer)
        )
        with lock_directory(directory):
            narrator = TerminalNarrator(console, plain=environment.plain)
            console.print(f"[bold]fapo optimize[/] {project.spec.name}  →  {directory}")
            say_unpriced(console, connection.unpriced)
            for note in _notes(project.sample_note, optimizer, config):
                console.print(f"[yellow]note[/] {note}")
            run = Run(
                directory,
                source,
                project,
                config,
                gateway=connection.gateway,
                budget=connection.budget,
                narrator=narrator,
            )
            run.require_test_look()
            connection.budget.charge("task", run.state.usage("task"))
            connection.budget.charge("judge", run.state.usage("judge"))
            connection.budget.charge("optimizer", run.state.usage("optimizer"))
            try:
                await _search(run, agent or optimizer, connection, environment, console).go()
            except BaseException:
                console.print(f"saved; go on with: [bold]fapo optimize --resume {directory}[/]")
                raise
            finally:
                run.journal.close()
            return conclude(directory)


def _search(
    run: Run, optimizer: AgentChoice | str, connection: Connection, environment: Environment, console: Console
) -> Search | ReflectiveSearch:
    """What drives the run: the coding agent under fapo's rules, or GEPA with a reflection model."""
    from fapo.agent.cage import open_ends
    from fapo.agent.credentials import kind_of
    from fapo.optimize.gate import Gate
    from fapo.optimize.reflection import ReflectiveSearch
    from fapo.optimize.reviewer import Reviewer
    from fapo.optimize.search import Search

    if isinstance(optimizer, str):
        return ReflectiveSearch(run, connection.gateway, model=optimizer, seed=run.config.seed)
    agent, model, free = optimizer.agent(run.config.isolation), optimizer.model, optimizer.standin
    variables = optimizer.variables(connection, environment)
    for note in open_ends(kind_of(variables), agent.level):
        console.print(f"[yellow]note[/] {note}")
    reviewer = Reviewer(agent, model, variables, lambda _: None, free) if run.config.review_agent else None
    return Search(run, Gate(run, reviewer), agent, model=model, environment=variables, free=free)


def _notes(sample: str | None, optimizer: str, config: OptimizeConfig) -> list[str]:
    from fapo.evaluation.project import STANDIN_PREFIX

    notes = [sample] if sample else []
    if optimizer.removeprefix("codex/").startswith(STANDIN_PREFIX):
        real = "GEPA" if config.optimizer == "gepa" else "the CLI that it drives"
        notes.append(f"{optimizer} is a rule-driven stand-in for the optimizer's model; {real} is the real one")
    if config.isolation == "none":
        notes.append("--isolation none: labels and keys are readable by code that the agent writes")
    return notes


def _show(summary: RunSummary) -> None:
    from rich.markup import escape

    from fapo.cli.console import dollars, stdout
    from fapo.cli.run_output import means_table, show_gains, variant_table
    from fapo.report.run_summary import last_line, verdict_sentence

    console = stdout()
    console.print()
    console.print(variant_table(summary.variants))
    console.print()
    console.print(f"[bold]{escape(verdict_sentence(summary))}[/]")
    baseline, best = summary.baseline, summary.best
    rows = {"baseline": (baseline.validation, baseline.test)}
    if best.variant != "000":
        rows[f"best ({best.variant})"] = (best.validation, best.test)
    console.print(means_table(rows))
    show_gains(summary.validation_gain, summary.test_gain)
    usage = summary.usage
    calls = f"{usage.task.llm_calls:,} calls, {usage.task.cached_calls:,} cached"
    console.print(f"paid: task {dollars(usage.task.cost_usd)} ({calls}), "
                  f"judge {dollars(usage.judge.cost_usd)}, optimizer {dollars(usage.optimizer.cost_usd)}")  # fmt: skip
    if summary.patch is not None:
        console.print(f"best variant: {summary.best_dir}")
        console.print(f"patch:        {summary.patch}")
    console.print(f"report:       {summary.page}")
    if summary.note:
        console.print(f"[yellow]note[/] {summary.note}")
    console.print(f"[bold]{escape(last_line(summary))}[/]")
