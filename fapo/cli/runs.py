"""`fapo runs`, `fapo diff RUN` and `fapo apply RUN`: what was run, what it changed, and take it over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fapo.cli.names import Run, find_run

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def runs_command(
    limit: Annotated[int, typer.Option(min=1, help="How many, the latest first.")] = 20, as_json: AsJson = False
) -> None:
    """List runs and evaluations, the latest first: pipeline, how they ended, scores, money."""
    from rich.markup import escape

    from fapo.cli.console import dollars, print_json, stdout, table
    from fapo.config import read_environment
    from fapo.report.run_list import list_runs

    environment = read_environment()
    rows = list_runs(environment.runs_dir, limit)
    if as_json:
        print_json({"runs_dir": str(environment.runs_dir), "runs": [row.as_dict() for row in rows]})
        return
    console = stdout()
    if not rows:
        console.print(f"no runs in {environment.runs_dir}", markup=False)
        return
    shown = table("run", "what", "status", "score", "best", "cost", right=lambda c: c in ("score", "best", "cost"))
    for row in rows:
        scores = ("–" if score is None else f"{score:.3f}" for score in (row.score, row.best))
        shown.add_row(escape(row.name), row.kind, row.status, *scores, dollars(row.cost_usd))
    console.print(shown)


def diff_command(run: Run) -> None:
    """Print what the best variant of a run changes, as a patch."""
    from fapo.cli.console import stdout
    from fapo.optimize.apply import best_variant
    from fapo.report.patch import unified_patch

    best = best_variant(find_run(run, "run"))
    console = stdout()
    patch = unified_patch(best.baseline, best.files)
    if console.is_terminal:
        from rich.syntax import Syntax

        console.print(Syntax(patch, "diff", background_color="default", word_wrap=True))
    else:
        console.file.write(patch)


def apply_command(
    run: Run,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Pipeline directory; default: the one that was optimized.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the best variant of a run into the pipeline; refuses where that would overwrite other changes."""
    from fapo.cli.console import print_json, stdout
    from fapo.optimize.apply import apply_variant, best_variant

    best = best_variant(find_run(run, "run"))
    target = to or best.source
    written = apply_variant(best, target)
    facts: dict[str, Any] = {"variant": best.variant, "to": str(target), "changed": list(written)}
    if as_json:
        print_json(facts)
        return
    console = stdout()
    if not best.changed:
        console.print("nothing to apply: no variant was accepted")
        return
    if best.status is None:
        console.print("[yellow]note[/] the run has not ended: the variant is the best so far, and test has not seen it")
    elif best.status != "improved":
        console.print("[yellow]note[/] the variant won on validation, but test does not confirm it")
    if not written:
        console.print(f"variant {best.variant} is in {target} already", markup=False)
    else:
        console.print(f"variant {best.variant} is written into {target}:", markup=False)
        for path in written:
            mark = "removed" if path not in best.files else "changed" if path in best.baseline else "new"
            console.print(f"  {mark:7}  {path}", markup=False)
