"""`fapo cases import`, `fapo prompts export` and `fapo prompts import`: to and from the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from fapo.records import Case

cases_app = typer.Typer(no_args_is_help=True, help="Cases from the files of other tools.")
prompts_app = typer.Typer(no_args_is_help=True, help="Prompts in the formats of other tools.")


@cases_app.command("import")
def import_cases_command(
    file: Annotated[Path, typer.Argument(help="promptfoo's configuration or tests, or an MLflow data set as JSON.")],
    source: Annotated[Literal["promptfoo", "mlflow"], typer.Option("--from", help="Whose file it is.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all cases to this JSONL file; `-` prints them.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Divide them into three equal splits in this folder.")
    ] = None,
    expected: Annotated[str | None, typer.Option(help="The variable, or expectation, that is the answer.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the splits of --into.")] = 0,
) -> None:
    """Turn the tests of promptfoo, or the records of an MLflow data set, into fapo's cases."""
    from fapo.cli.console import stderr
    from fapo.config import read_environment
    from fapo.errors import UsageError
    from fapo.interchange.mlflow_records import cases_of_mlflow
    from fapo.interchange.promptfoo import cases_of_promptfoo

    if (out is None) == (into is None):
        raise UsageError("say where the cases go: --out FILE, or --into DIR for three splits")
    cases = (cases_of_promptfoo if source == "promptfoo" else cases_of_mlflow)(file, expected)
    if out == Path("-"):
        print(_lines(cases), end="")
        return
    console = stderr(plain=read_environment().plain)
    for path, part in _files(cases, out, into, seed):
        _write_new(path, _lines(part))
        console.print(f"{len(part):>6,} cases  {path}", markup=False)


def _files(
    cases: tuple[Case, ...], out: Path | None, into: Path | None, seed: int
) -> list[tuple[Path, tuple[Case, ...]]]:
    import random

    from fapo.errors import UsageError
    from fapo.records import SPLITS

    if out is not None:
        return [(out, cases)]
    assert into is not None
    if len(cases) < len(SPLITS):
        raise UsageError(f"{len(cases)} cases cannot be divided into three splits")
    drawn = list(cases)
    random.Random(seed).shuffle(drawn)  # noqa: S311  # a draw that can be repeated
    return [(into / f"{split}.jsonl", tuple(drawn[number :: len(SPLITS)])) for number, split in enumerate(SPLITS)]


def _lines(cases: tuple[Case, ...]) -> str:
    import json

    from fapo.store.files import to_python

    return "".join(json.dumps(to_python(case), ensure_ascii=False) + "\n" for case in cases)


def _write_new(path: Path, text: str) -> None:
    from fapo.errors import UsageError
    from fapo.store.files import write_atomic

    if path.exists():
        raise UsageError("is there already: remove it, or write elsewhere", path=path)
    write_atomic(path, text)


@prompts_app.command("export")
def export_prompts_command(
    pipeline: Annotated[str, typer.Argument(metavar="DIR", help="Pipeline directory, or the name of a built-in one.")],
    kind: Annotated[Literal["prompty", "dotprompt"], typer.Option("--to", help="Format.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where a file for each prompt is written.")],
) -> None:
    """Write a pipeline's prompts as .prompty or Dotprompt files; refuses what would be lost."""
    from fapo.cli.console import stderr
    from fapo.config import read_environment
    from fapo.evaluation.project import find_pipeline
    from fapo.interchange import dotprompt, prompty
    from fapo.pipeline.prompts import load_prompts
    from fapo.pipeline.spec import load_spec

    directory = find_pipeline(pipeline)
    models = load_spec(directory).models
    write, suffix = {
        "prompty": (prompty.to_prompty, prompty.SUFFIX),
        "dotprompt": (dotprompt.to_dotprompt, dotprompt.SUFFIX),
    }[kind]
    texts = {name: write(prompt, models) for name, prompt in load_prompts(directory).items()}
    console = stderr(plain=read_environment().plain)
    for name, text in texts.items():
        _write_new(out / f"{name}{suffix}", text)
        console.print(str(out / f"{name}{suffix}"), markup=False)


@prompts_app.command("import")
def import_prompts_command(
    files: Annotated[list[Path], typer.Argument(help=".prompty or .prompt files.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Pipeline directory.")],
) -> None:
    """Take .prompty or Dotprompt files over as a pipeline's prompts; refuses what would be lost."""
    from fapo.cli.console import stderr
    from fapo.config import read_environment
    from fapo.errors import UsageError
    from fapo.interchange import dotprompt, prompty
    from fapo.pipeline.prompts import PROMPT_DIR

    readers = {prompty.SUFFIX: prompty.from_prompty, dotprompt.SUFFIX: dotprompt.from_dotprompt}
    read = {}
    for file in files:
        if file.suffix not in readers:
            raise UsageError("unknown kind of prompt file: .prompty or .prompt", path=file)
        try:
            read[file] = readers[file.suffix](file.read_text(encoding="utf-8"), file)
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}", path=file) from None
    console = stderr(plain=read_environment().plain)
    for file, (text, model) in read.items():
        target = into / PROMPT_DIR / f"{file.stem}.md"
        _write_new(target, text)
        named = f"  (it named {model}: set that in pipeline.yaml)" if model else ""
        console.print(f"{target}{named}", markup=False)
