"""`fapo report RUN`: what a run found, as a page and as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run of `fapo optimize`, ended or not.")],
    include_test: Annotated[
        bool, typer.Option("--include-test", help="Show test cases too. Who tunes by them has used them up.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Write `report.html` and `report.md` into a run: verdict, search, diff, losses, costs, cases, statistics."""
    from fapo.cli.console import print_json, stdout
    from fapo.optimize.outcome import write_reports
    from fapo.optimize.run_files import RunFiles
    from fapo.report.run_summary import verdict_sentence
    from fapo.store.files import to_python

    summary, page, text = write_reports(RunFiles(run), include_test=include_test)
    if as_json:
        print_json(to_python(summary))
    else:
        console = stdout()
        console.print(verdict_sentence(summary), markup=False)
        console.print(f"page:     {page}", markup=False)
        console.print(f"markdown: {text}", markup=False)
        if summary.note:
            console.print(f"note {summary.note}", markup=False)
    if open_page:
        import webbrowser

        webbrowser.open(page.as_uri())
