"""`fapo init NAME`: a pipeline to begin with, which runs at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fapo.templates import Template


def _names(incomplete: str) -> list[str]:
    from fapo.data import builtin_names

    return [name for name in builtin_names("templates", "template.yaml") if name.startswith(incomplete)]


def init_command(
    name: Annotated[
        Path | None, typer.Argument(metavar="NAME", help="Directory to make; its name becomes the pipeline's.")
    ] = None,
    template: Annotated[
        str, typer.Option("--template", "-t", help="What to begin with: see --list.", autocompletion=_names)
    ] = "classify",
    show_list: Annotated[bool, typer.Option("--list", help="List the templates and make nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Make a pipeline directory from a template: code, prompts, cases in three splits, a score, a test.

    It runs without a key on offline stand-ins; one line of pipeline.yaml names the model.
    """
    from fapo.cli.console import print_json
    from fapo.errors import UsageError
    from fapo.templates import find_template, make_pipeline, templates

    if show_list:
        known = list(templates())
        if as_json:
            print_json({"templates": [{"name": t.name, "about": t.about, "extra": t.extra} for t in known]})
        else:
            _show_list(known)
        return
    if name is None:
        raise UsageError("give the directory to make, such as `fapo init my_pipeline`; --list shows the templates")
    chosen = find_template(template)
    files = make_pipeline(name, chosen)
    if as_json:
        print_json({"directory": str(name), "template": chosen.name, "files": list(files)})
    else:
        _show_made(name, chosen, files)


def _show_list(known: list[Template]) -> None:
    from rich.markup import escape

    from fapo.cli.console import stdout, table

    shown = table("template", "what it does", "needs")
    for each in known:
        shown.add_row(each.name, escape(each.about), escape(f"fapo[{each.extra}]") if each.extra else "")
    stdout().print(shown)


def _show_made(name: Path, template: Template, files: tuple[str, ...]) -> None:
    from importlib.util import find_spec

    from fapo.cli.console import stdout

    console = stdout()
    console.print(f"{name}: {template.about}", markup=False)
    for file in files:
        console.print(f"  {file}", markup=False)
    console.print()
    if template.extra and find_spec("langgraph") is None:
        console.print(f'first:    pip install "fapo[{template.extra}]"', markup=False)
    console.print(f"score it: fapo eval {name}", markup=False)
    console.print(f"improve:  fapo optimize {name}", markup=False)
    console.print(f"test it:  pytest {name}", markup=False)
    console.print(f"a model:  `models:` in {name}/pipeline.yaml, now an offline stand-in", markup=False)
