"""Makes the reference of the command line and of the configuration from the code, whenever the site is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import typer
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fapo.cli.main import app
from fapo.data import BenchmarkSpec, Columns, Guards
from fapo.pipeline.prompts import SAMPLING
from fapo.pipeline.spec import InlineData, Limits, PipelineSpec

ENVIRONMENT = {
    "FAPO_RUNS_DIR": "folder of runs; default `./runs`",
    "FAPO_CACHE_DIR": "folder of the reply cache and of prepared benchmarks; default the user's cache folder",
    "CI": "where it is set, output is plain",
    "NO_COLOR": "where it is set, output has no colour",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """mkdocs asks for more pages here."""
    for name, lines in {"cli": cli_lines(), "configuration": configuration_lines()}.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(lines) + "\n"))
    return files


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """All commands below a group, with their whole names."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def cli_lines() -> Iterator[str]:
    yield "# Command line\n"
    for path, command in commands(typer.main.get_command(app), "fapo"):
        context = typer.Context(command, info_name=path)
        usage = " ".join(command.collect_usage_pieces(context))
        yield f"## {path}\n\n`{path} {usage}`\n\n{(command.help or '').strip()}\n"
        yield "| | |\n|---|---|"
        for parameter in command.get_params(context):
            name, told = parameter.get_help_record(context)
            yield f"| `{name.replace('|', ' / ')}` | {_cell(told)} |"
        yield ""


def configuration_lines() -> Iterator[str]:
    yield "# Configuration\n\n## pipeline.yaml\n"
    yield from table(PipelineSpec)
    for title, model in (("limits", Limits), ("data", InlineData), ("guards", Guards)):
        yield f"### `{title}:` in pipeline.yaml\n"
        yield from table(model)
    yield "## benchmark.yaml\n"
    yield from table(BenchmarkSpec)
    yield "### `columns:` in benchmark.yaml\n"
    yield from table(Columns)
    yield "## Front matter of a prompt\n\n| key | meaning |\n|---|---|"
    yield "| `model` | role of `models:`; default `task` |\n| `output` | `text`, or `json`: the reply is parsed |"
    yield f"| `sampling` | any of {', '.join(f'`{name}`' for name in sorted(SAMPLING))} |"
    yield "\n## Environment\n\n| variable | meaning |\n|---|---|"
    yield from (f"| `{name}` | {meaning} |" for name, meaning in ENVIRONMENT.items())


def table(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a model, a row each."""
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    for name, field in model.model_fields.items():
        yield f"| `{name}` | {_cell(_type(field))} | {_cell(_default(field))} | {_cell(field.description or '')} |"
    yield ""


def _type(field: FieldInfo) -> str:
    kind = field.annotation
    if isinstance(kind, type) and not get_args(kind):
        return kind.__name__
    return str(kind).replace("typing.", "").replace("pathlib.", "").replace("fapo.data.", "")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "see below" if isinstance(value, BaseModel) else "none" if value is None else repr(value)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
