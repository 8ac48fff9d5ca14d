"""`fapo review DIR`: what `fapo optimize` would hold against a change, before a call is paid for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fapo.cli import names

if TYPE_CHECKING:
    from fapo.review.gate import Finding
    from fapo.store.variants import Snapshot


def review_command(
    pipelines: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR...", help="Pipeline directories, or built-in names.", autocompletion=names.pipelines
        ),
    ],
    against: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What it is a change of [default: the last commit of DIR, if there is one]."),
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="Levels that may differ, as for an optimization, such as prompt,parameter.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Look for leaked cases, broken placeholders, forbidden code and the like; no model is asked."""
    from fapo.cli.console import print_json
    from fapo.config import OptimizeConfig
    from fapo.errors import UsageError
    from fapo.evaluation.project import find_pipeline
    from fapo.store.files import to_python

    wanted = None if scope is None else [level.strip() for level in scope.split(",")]
    if unknown := set(wanted or ()) - set(OptimizeConfig().scope):
        raise UsageError(f"--scope: no such level: {', '.join(sorted(unknown))}")
    found = []
    for name in pipelines:
        directory = find_pipeline(name)
        for finding in _findings(directory, against, wanted):
            found.append({"pipeline": name, **to_python(finding)})
            if not as_json:
                where = directory / finding.path if finding.path else directory
                line = f":{finding.line}" if finding.line else ""
                typer.echo(f"{where}{line}: {finding.message} [{finding.check}]")
    if as_json:
        print_json({"findings": found})
    elif not found:
        typer.echo(f"{', '.join(pipelines)}: nothing found")
    raise typer.Exit(1 if found else 0)


def _findings(directory: Path, against: Path | None, levels: list[str] | None) -> tuple[Finding, ...]:
    from fapo.evaluation.project import load_project
    from fapo.records import LEVELS, SPLITS
    from fapo.review.gate import ReviewContext, review, review_contents
    from fapo.review.leaks import LeakIndex
    from fapo.store.variants import take_snapshot

    candidate = take_snapshot(directory, hard_links=True)
    project = load_project(directory)
    before = take_snapshot(against, hard_links=True) if against is not None else _committed(directory)
    context = ReviewContext(
        open_levels=frozenset(level for level in LEVELS if levels is None or level in levels),
        baseline=before,
        leaks=LeakIndex.build([case for split in SPLITS for case in project.cases(split)]),
        closed_labels=project.benchmark.closed_labels,
        scorer=project.score.source,
    )
    if levels is None or not before:
        return review_contents(before, candidate, context)
    return () if before == candidate else review(before, candidate, context).findings


def _committed(directory: Path) -> Snapshot:
    """The pipeline as the last commit has it; empty outside of a repository, or where it was never committed."""
    from fapo.store.git import find_repository

    repository = find_repository(directory)
    found = {} if repository is None else repository.snapshot("HEAD", repository.path_of(directory))
    return found if "pipeline.yaml" in found else {}
