"""`fapo report RUN`: what a run or an evaluation found, as a page and as Markdown."""

from __future__ import annotations

from typing import Annotated

import typer

from fapo.cli.names import Either, find_run


def report_command(
    run: Either,
    include_test: Annotated[
        bool, typer.Option("--include-test", help="Show test cases too. Who tunes by them has used them up.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Write `report.html` and `report.md` into a run: verdict, search, diff, losses, costs, cases, statistics."""
    from rich.markup import escape

    from fapo.cli.console import print_json, stdout
    from fapo.evaluation.evaluate import MANIFEST_FILE
    from fapo.optimize.outcome import write_evaluation_reports, write_reports
    from fapo.optimize.run_files import RunFiles
    from fapo.report.headline import evaluation_sentence
    from fapo.report.run_summary import verdict_sentence
    from fapo.store.files import to_python

    directory = find_run(run)
    if (directory / MANIFEST_FILE).is_file():
        evaluation, page, text = write_evaluation_reports(directory, include_test=include_test)
        sentence, note = evaluation_sentence(evaluation), evaluation.note
        facts = {"pipeline": evaluation.pipeline, "split": evaluation.split, "score": evaluation.score,
                 "n": evaluation.n, "note": note, "page": str(page), "report": str(text)}  # fmt: skip
    else:
        summary, page, text = write_reports(RunFiles(directory), include_test=include_test)
        sentence, note, facts = verdict_sentence(summary), summary.note, to_python(summary)
    if as_json:
        print_json(facts)
    else:
        console = stdout()
        console.print(f"[bold]{escape(sentence)}[/]")
        console.print(f"page:     {page}", markup=False)
        console.print(f"markdown: {text}", markup=False)
        if note:
            console.print(f"[yellow]note[/] {escape(note)}")
    if open_page:
        import webbrowser

        webbrowser.open(page.as_uri())
