"""`fapo trace EVALUATION CASE`: one case, readable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fapo.cli.names import Evaluation, find_run

if TYPE_CHECKING:
    from pathlib import Path


def trace_command(
    evaluation: Evaluation,
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

    directory = find_run(evaluation, "evaluation")
    record = find_record(directory, case, trial)
    if record is None:
        raise UsageError(f"has no record of case `{case}`, trial {trial}{_hint(directory, case)}", path=directory)
    if as_json:
        print_json(to_python(record))
        return
    stdout().print(trace_markdown(record, None), markup=False)


def _hint(directory: Path, case: str) -> str:
    """Which cases there are, the one of a similar id first."""
    import json

    from fapo.errors import closest
    from fapo.store.files import read_lines
    from fapo.store.run_names import TRACES_FILE

    ids = list(dict.fromkeys(json.loads(line)["case_id"] for line in read_lines(directory / TRACES_FILE)))
    if not ids:
        return ": no case has ended there yet"
    near = closest(case, ids)
    return f"; did you mean `{near}`?" if near else f"; there are {len(ids):,}, such as `{ids[0]}`"
