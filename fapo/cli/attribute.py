"""`fapo attribute EVALUATION`: where an evaluation loses its score, and at which level that can be mended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fapo.attribution.blame import Attribution
    from fapo.evaluation.evaluate import Manifest
    from fapo.evaluation.project import Project


def attribute_command(
    evaluation: Annotated[
        Path, typer.Argument(help="Directory of an evaluation, of `fapo eval` or of a run (RUN/evaluations/...).")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Divide the lost score among steps and levels, by rules over the traces of failing cases."""
    from fapo.attribution.rules import attribute
    from fapo.cli.console import print_json
    from fapo.errors import UsageError
    from fapo.evaluation.evaluate import load_decided, load_manifest
    from fapo.store.files import to_python

    directory = evaluation.parent if evaluation.name == "traces.jsonl" else evaluation
    manifest = load_manifest(directory)
    project = _project_of(directory, manifest)
    cases = {case.id: case for case in project.cases(manifest.split)}
    records = list(load_decided(directory).values())
    if not records:
        raise UsageError("no case is decided; go on with `fapo eval --resume`", path=directory)
    found = attribute(cases, records)
    if as_json:
        facts = {"pipeline": manifest.pipeline, "variant": manifest.variant, "split": manifest.split,
                 "evaluation_dir": str(directory), "note": manifest.sample}  # fmt: skip
        print_json(facts | to_python(found))
    else:
        _show(found, manifest, directory)


def _project_of(directory: Path, manifest: Manifest) -> Project:
    """What was evaluated, with its cases. Raises UsageError where these are not there any more, or are others now."""
    from fapo.data import split_digest
    from fapo.errors import UsageError
    from fapo.evaluation.project import load_project
    from fapo.evaluation.request import REQUEST_FILE, read_request
    from fapo.optimize.run import RUN_FILE, reopen_run

    run = directory.absolute().parent.parent
    if (directory / REQUEST_FILE).is_file():
        request = read_request(directory)
        project = load_project(directory / "pipeline", model=request.config.model, data_from=request.source)
        limit = request.config.limit
    elif (run / RUN_FILE).is_file():
        (project, _, _), limit = reopen_run(run), None
    else:
        raise UsageError("belongs neither to `fapo eval` nor to a run, so its cases are not known", path=directory)
    cases = project.cases(manifest.split)
    if manifest.cases_digest not in (split_digest(cases), split_digest(cases[:limit])):
        raise UsageError("the benchmark's cases have changed since; evaluate it anew", path=directory)
    return project


def _show(found: Attribution, manifest: Manifest, directory: Path) -> None:
    from rich.markup import escape

    from fapo.cli.console import stdout, table

    console = stdout()
    undecided = f", {found.undecided} undecided" if found.undecided else ""
    variant = "" if manifest.variant == manifest.pipeline else f" {escape(manifest.variant)}"
    console.print(f"[bold]{escape(manifest.pipeline)}[/]{variant} on {manifest.split}: mean score "
                  f"{found.mean or 0:.3f}, {found.lost:.3f} lost a case, over {found.n} cases{undecided}")  # fmt: skip
    if found.by_step:
        columns = ("lost at", "why", "can be mended by", "cases", "share of loss", "confidence")
        rows = table(*columns, right=lambda c: c in ("cases", "share of loss"))
        for blame in found.by_step:
            rows.add_row(escape(blame.step or "?"), blame.category, ", ".join(blame.levels) or "?", str(blame.cases),
                         f"{blame.share:.0%}", blame.confidence)  # fmt: skip
        console.print()
        console.print(rows)
        console.print()
        for blame in found.by_step:
            where, example = escape(f"{blame.step or '?'}, {blame.category}"), escape(blame.examples[0])
            console.print(f"{where}: {escape(_line(blame.evidence))} ({example})")
        console.print()
        shares = ", ".join(f"{level} {share:.0%}" for level, share in found.by_level.items())
        console.print(f"by the level that can mend it first: {shares}")
    console.print(f"work at level [bold]{found.recommended_level}[/]: {escape(found.why)}")
    if found.by_step:
        console.print(f"look at one: fapo trace {directory} {escape(found.by_step[0].examples[0])}")
    if manifest.sample:
        console.print(f"[yellow]note[/] {escape(manifest.sample)}")


def _line(text: str) -> str:
    return " ".join(text.split())
