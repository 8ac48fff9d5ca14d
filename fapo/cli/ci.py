"""`fapo ci DIR`: one night of a schedule."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from fapo.ci.night import Night
    from fapo.config import CiConfig, Environment


def ci_command(
    pipeline: Annotated[str, typer.Argument(metavar="DIR", help="Pipeline directory in a git repository.")],
    optimize: Annotated[
        Literal["on-fall", "always", "never"],
        typer.Option(help="Search for a better variant: when the score fell significantly, every night, or never."),
    ] = "on-fall",
    budget_usd: Annotated[
        float | None, typer.Option(min=0, help="Limit on what check and search spend together.")
    ] = None,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Limit on paid model calls.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Limit on tokens of paid calls.")] = None,
    max_variants: Annotated[int, typer.Option(min=1, help="Variants that a search may submit.")] = 12,
    max_minutes: Annotated[float | None, typer.Option(min=0, help="Wall-clock limit of a search.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Samples of each validation case; more show smaller falls.")] = 1,
    model: Annotated[str | None, typer.Option(help="Replaces the pipeline's `task` model.")] = None,
    optimizer_model: Annotated[str | None, typer.Option(help="The coding agent's model.")] = None,
    new_baseline: Annotated[
        bool, typer.Option("--new-baseline", help="Take today's score as the baseline, whatever it is.")
    ] = False,
    push: Annotated[
        bool, typer.Option("--push", help="Keep fapo.lock on the remote's branch fapo-lock; push a better variant.")
    ] = False,
    pull_request: Annotated[
        bool, typer.Option("--pull-request", help="Push, and open or update a pull request on GitHub.")
    ] = False,
    remote: Annotated[str, typer.Option(help="Where --push pushes to.")] = "origin",
    branch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Branch for a better variant [default: fapo/PIPELINE].")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="BRANCH", help="What the pull request merges into [default: what is checked out]."),
    ] = None,
    night: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the night: a second attempt under it pays for no reply twice "
            "and uses up no look [default: GitHub's run id, or the time].",
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the outcome as JUnit XML.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Model calls in flight at once.")] = 32,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests a minute to each provider.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens a minute to each provider.")] = None,
    isolation: Annotated[Literal["auto", "none"], typer.Option(help="How agent and pipeline are confined.")] = "auto",
    full: Annotated[bool, typer.Option("--full", help="The whole benchmark, not its sample: fapo benchmark.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Say whether the deployed pipeline still scores as it did; if it fell, search for a better one and propose it.

    Exit codes: 0 no significant fall, or a better variant is proposed; 1 it fell and nothing better was found; 2 wrong
    use, a dirty work tree, or cases that can show no more; 3 a limit or a provider ended it before a result.
    """  # fmt: skip
    from pydantic import ValidationError

    from fapo.cli.running import run_to_end
    from fapo.config import CiConfig, read_environment
    from fapo.errors import UsageError

    environment = read_environment()
    try:
        config = CiConfig.model_validate({
            "optimize": optimize, "budget_usd": budget_usd, "max_calls": max_calls, "max_tokens": max_tokens,
            "max_variants": max_variants, "max_minutes": max_minutes, "trials": trials, "model": model,
            "optimizer_model": optimizer_model, "new_baseline": new_baseline, "push": push or pull_request,
            "pull_request": pull_request, "remote": remote, "branch": branch, "base": base, "night": night,
            "concurrency": concurrency, "rpm": rpm, "tpm": tpm, "isolation": isolation,
            "full": environment.benchmarks_dir if full else None,
        })  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None
    run_to_end(_ci(pipeline, config, environment, junit, as_json))


async def _ci(pipeline: str, config: CiConfig, environment: Environment, junit: Path | None, as_json: bool) -> int:
    from fapo.ci.outputs import write_fault
    from fapo.cli.console import stderr
    from fapo.cli.night import find_place, run_night
    from fapo.errors import FapoError

    console, started = stderr(plain=environment.plain), time.monotonic()
    try:
        place = find_place(pipeline, config, environment)
        console.print(f"[bold]fapo ci[/] {place.project.spec.name}, night {place.night}")
        found = await run_night(place, console)
    except FapoError as error:
        write_fault(environment.variables, junit, Path(pipeline).name, str(error), code=error.exit_code,
                    seconds=time.monotonic() - started)  # fmt: skip
        raise
    _leave(found, environment, junit)
    if as_json:
        from fapo.ci.night import figures
        from fapo.cli.console import print_json

        print_json(figures(found, lock=str(place.lock)))
    else:
        _show(found, place.lock)
    return found.exit_code


def _leave(found: Night, environment: Environment, junit: Path | None) -> None:
    from fapo.ci.night import checks, outputs
    from fapo.ci.outputs import junit_xml, write_junit, write_outputs, write_step_summary
    from fapo.ci.pages import night_page

    write_outputs(environment.variables, outputs(found))
    write_step_summary(environment.variables, night_page(found))
    write_junit(junit, junit_xml(found.pipeline, checks(found), seconds=found.wall_s))


def _show(found: Night, lock: Path) -> None:
    from rich.markup import escape

    from fapo.ci.night import difference_text, score_text, sentence, sight_text
    from fapo.cli.console import dollars, stdout

    console = stdout()
    console.print(f"[bold]{found.status}[/]  {escape(sentence(found))}")
    if found.fall is not None:
        console.print(f"baseline:   {score_text(found.baseline)}")
        console.print(f"today:      {score_text(found.score)}")
        console.print(f"difference: {difference_text(found.fall)}")
        console.print(f"            {sight_text(found.fall)}")
        console.print(f"night {found.fall.look} of {found.fall.nights} on these validation cases")
    elif found.before is not None:
        console.print(f"before:     {score_text(found.before)}, of {found.before.recorded[:10]}")
        console.print(f"today:      {score_text(found.score)}")
    if found.proposal is not None:
        where = f"pushed to {found.proposal.remote}" if found.proposal.remote else "in this repository"
        console.print(f"branch:     {escape(found.proposal.branch)}, {where}; commit {found.proposal.commit[:12]}")
    if found.pull_request is not None:
        how = "opened" if found.pull_request.created else "updated"
        console.print(f"{how + ':':<12}{found.pull_request.url}", markup=False)
    if found.search is not None:
        console.print(f"report:     {found.search.report}", markup=False)
    console.print(f"check: {found.usage.llm_calls} calls, {dollars(found.usage.cost_usd)}; traces in "
                  f"{found.evaluation_dir}", markup=False)  # fmt: skip
    console.print(f"lock:       {lock}", markup=False)
    if found.note:
        console.print(f"[yellow]note[/] {found.note}")
