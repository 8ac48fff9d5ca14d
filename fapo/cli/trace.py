"""`fapo trace EVALUATION CASE`: one case, readable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def trace_command(
    evaluation: Annotated[Path, typer.Argument(help="Directory of an evaluation (or of its traces.jsonl).")],
    case: Annotated[str, typer.Argument(help="Case id.")],
    trial: Annotated[int, typer.Option(min=0, help="Which sample of the case.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as one JSON object.")] = False,
) -> None:
    """Show every step of one case: what went in, what came out, time, tokens, cost."""
    from fapo.cli.console import print_json, stdout
    from fapo.errors import UsageError
    from fapo.evaluation.evaluate import find_record
    from fapo.report.trace_text import trace_markdown
    from fapo.store.files import to_python

    directory = evaluation.parent if evaluation.name == "traces.jsonl" else evaluation
    record = find_record(directory, case, trial)
    if record is None:
        raise UsageError(f"has no record of case `{case}`, trial {trial}", path=directory)
    if as_json:
        print_json(to_python(record))
        return
    stdout().print(trace_markdown(record, None), markup=False)
