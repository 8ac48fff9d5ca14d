"""Tab completes commands, pipelines, runs, evaluations, benchmarks and templates, from folder names alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import FAPO, environment

RUN, EVALUATION = "20260101-100000-shop", "20260102-100000-500-eval-shop"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completed")
    for name, file in ((RUN, "run.json"), (EVALUATION, "evaluation.json")):
        (folder / "runs" / name / "evaluations").mkdir(parents=True)
        (folder / "runs" / name / file).write_text("not even JSON")
    (folder / "my_shop").mkdir()
    (folder / "my_shop" / "pipeline.yaml").write_text("")
    return folder


@pytest.mark.parametrize(
    ("line", "offered", "not_offered"),
    [
        ("fapo o", {"optimize"}, {"eval"}),
        ("fapo eval ", {"my_shop", "quickstart", "hotpotqa"}, {"runs"}),
        ("fapo diff ", {"latest", RUN}, {EVALUATION}),
        ("fapo trace 2026", {EVALUATION}, {RUN, "latest"}),
        ("fapo show ", {"latest", RUN, EVALUATION}, set()),
        (f"fapo attribute runs/{RUN}/", {f"runs/{RUN}/evaluations"}, set()),
        ("fapo eval --resume ", {"latest", EVALUATION}, {RUN}),
        ("fapo benchmark show ho", {"hotpotqa", "hover"}, {"ifbench"}),
        ("fapo init bot --template ", {"classify", "tool_agent"}, set()),
    ],
)
def test_tab_offers(line: str, offered: set[str], not_offered: set[str], folder: Path) -> None:
    variables = environment(folder, _FAPO_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(line.count(" ")))
    done = subprocess.run(FAPO, capture_output=True, text=True, env=variables, cwd=folder, check=False)
    found = {each.rstrip("/") for each in done.stdout.split()}
    assert offered <= found, done.stderr
    assert not not_offered & found


def test_completion_loads_nothing_heavy() -> None:
    code = ("import sys, fapo.cli.main; from fapo.cli import names; names.pipelines(''); names.runs('')\n"
            "print(*[m for m in ('litellm', 'scipy', 'datasets', 'rich', 'jinja2') if m in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_shown(shell: str, folder: Path) -> None:
    variables = environment(folder, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    done = subprocess.run(
        [*FAPO, "--show-completion", shell], capture_output=True, text=True, env=variables, check=False
    )
    assert "_FAPO_COMPLETE" in done.stdout, done.stderr
