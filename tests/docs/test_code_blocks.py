"""What the documentation shows works: commands are run, or their options checked; YAML is valid; Python compiles."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from fapo.cli.main import app
from fapo.data import BenchmarkSpec
from fapo.pipeline.spec import parse_spec
from tests.support.command import environment

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "templates").glob("*/README.md"))]
_FENCE = re.compile(r"(?:<!-- not run: (?P<why>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_COMMAND = re.compile(r"(?:^|\||&&|;)\s*(fapo(?: [^|;&#>\n]*)?)", re.M)
SPEC = {"name": "shown", "models": {"task": "standin/reader"}, "score": "exact_match",
        "data": {"train": "a.jsonl", "validation": "b.jsonl", "test": "c.jsonl"}}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One fenced block. `why` says why it is not run, where it is not."""

    page: Path
    line: int
    language: str
    text: str
    why: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in _FENCE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(page, line, found["language"], found["text"], found["why"])


def of(*languages: str) -> list[Block]:
    return [block for block in blocks() if block.language in languages]


def is_run(page: Path) -> bool:
    return page.parent.parent.name != "templates"


RUN = sorted({block.page for block in of("bash") if block.why is None and is_run(block.page)})


def test_every_block_says_what_it_is() -> None:
    known = {"bash", "yaml", "python", "json", "text"}
    drawings = [ROOT / "docs" / "architecture.md"]
    assert [str(block) for block in blocks() if block.language not in known and block.page not in drawings] == []


@pytest.mark.parametrize("block", of("bash"), ids=str)
def test_commands_have_no_options_that_are_not_there(block: Block) -> None:
    group: Any = typer.main.get_command(app)
    for found in _COMMAND.findall(block.text):
        words = shlex.split(found.strip())[1:]
        context = group.make_context(
            "fapo", [word for word in words if word not in ("--help", "--version")] or ["runs"]
        )
        command, rest = group, [*context._protected_args, *context.args]
        while hasattr(command, "commands"):
            name, command, rest = command.resolve_command(context, rest)
            context = command.make_context(name, list(rest), parent=context)
            rest = [*context._protected_args, *context.args]


@pytest.mark.timeout(900)
@pytest.mark.needs_level("full")
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_run_in_the_order_of_the_page(page: Path, tmp_path: Path) -> None:
    script = "\n".join(block.text for block in of("bash") if block.page == page and block.why is None)
    variables = environment(tmp_path)
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    shell = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(shell, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_is_a_pipeline_a_benchmark_or_a_part_of_one(block: Block) -> None:
    shown = yaml.safe_load(block.text)
    if "jobs" in shown or "repos" in shown:
        return
    if "splits" in shown:
        BenchmarkSpec.model_validate(shown)
    else:
        parse_spec(yaml.safe_dump(SPEC | shown), block.page)


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    assert all(isinstance(json.loads(line), dict) for line in block.text.splitlines())


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python_compiles_and_imports_what_there_is(block: Block) -> None:
    tree = ast.parse(block.text)
    imports: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), str(block), "exec"), {})
    compile(block.text, str(block), "exec")
