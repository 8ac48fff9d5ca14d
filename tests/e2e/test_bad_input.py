"""Bad input is one clear line and exit code 2, before any money is spent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fapo.errors import CredentialsError, UsageError
from fapo.evaluation.connect import check_models
from fapo.evaluation.project import load_project
from tests.support.command import fapo

GOOD = Path(__file__).parent.parent / "pipelines" / "prompt_suffices"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def rows(pipeline: Path, split: str = "validation") -> tuple[Path, list[str]]:
    path = pipeline / "data" / f"{split}.jsonl"
    return path, path.read_text().splitlines()


def repeat_first_case(pipeline: Path) -> None:
    path, lines = rows(pipeline)
    path.write_text("\n".join([*lines, lines[0]]) + "\n")


def break_third_line(pipeline: Path) -> None:
    path, lines = rows(pipeline)
    path.write_text("\n".join([*lines[:2], "{broken", *lines[2:]]) + "\n")


def drop_label(pipeline: Path) -> None:
    path, lines = rows(pipeline)
    row = json.loads(lines[1])
    del row["expected"]
    path.write_text("\n".join([lines[0], json.dumps(row), *lines[2:]]) + "\n")


def add_placeholder(pipeline: Path) -> None:
    prompt = next((pipeline / "prompts").glob("*.md"))
    prompt.write_text(prompt.read_text() + "\n{{ nowhere }}\n")


def misspell(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda pipeline: edit(pipeline / name, old, new)


CODE = "async def run"

FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no pipeline.yaml": (lambda p: (p / "pipeline.yaml").unlink(), "pipeline.yaml is missing"),
    "broken YAML": (lambda p: (p / "pipeline.yaml").write_text("name: [\n"), "pipeline.yaml:"),
    "an unknown key": (lambda p: edit(p / "pipeline.yaml", "name:", "colour: red\nname:"), "`colour`: unknown key"),
    "an unknown model": (lambda p: edit(p / "pipeline.yaml", "standin/reader", "nobody/knows"), "nobody/knows"),
    "an unknown stand-in": (lambda p: edit(p / "pipeline.yaml", "standin/reader", "standin/oracle"), "standin/oracle"),
    "an unknown score": (lambda p: edit(p / "pipeline.yaml", "exact_match", "vibes"), "unknown score `vibes`"),
    "an unfilled placeholder": (add_placeholder, "placeholder `nowhere` is never filled"),
    "duplicate case ids": (repeat_first_case, "validation.jsonl"),
    "an empty split": (lambda p: (p / "data" / "validation.jsonl").write_text(""), "validation.jsonl"),
    "a missing label": (drop_label, "validation.jsonl:2"),
    "an invalid line": (break_third_line, "validation.jsonl:3"),
    "a missing case file": (lambda p: (p / "data" / "test.jsonl").unlink(), "test.jsonl"),
    "code that raises on import": (lambda p: edit(p / "pipeline.py", CODE, f"1 / 0\n{CODE}"), "ZeroDivisionError"),
    "a syntax error": (lambda p: edit(p / "pipeline.py", CODE, f"{CODE}("), "pipeline.py:"),
    "no run function": (lambda p: edit(p / "pipeline.py", CODE, "async def walk"), "async def run(inputs, ctx)"),
}  # fmt: skip


MISSPELT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a key": (misspell("pipeline.yaml", "models:", "modles:"), "`modles`: unknown key; did you mean `models`?"),
    "an inner key": (
        misspell("pipeline.yaml", "limits: {", "limits: {timeout: 5, "),
        "`limits.timeout`: unknown key; did you mean `timeout_s`?",
    ),
    "a split": (misspell("pipeline.yaml", ", test: data/test.jsonl", ""), "`data.test`: is missing"),
    "the name": (misspell("pipeline.yaml", "name: ", "name: 1 "), "`name`: must be a letter, then"),
    "a role": (
        misspell("pipeline.yaml", "task: standin", "tsk: standin"),
        "no model has the role `task`; did you mean `tsk`?",
    ),
    "a score": (misspell("pipeline.yaml", "exact_match", "exactmatch"), "did you mean `exact_match`?"),
    "a stand-in": (misspell("pipeline.yaml", "standin/reader", "standin/raeder"), "did you mean `standin/reader`?"),
    "a model": (misspell("pipeline.yaml", "standin/reader", "gpt4"), "unknown model `gpt4`: write provider/model"),
    "a keyless model": (misspell("pipeline.yaml", "standin/reader", "openai/gpt-4.1-mini"), "set OPENAI_API_KEY"),
    "a case file": (misspell("pipeline.yaml", "data/test.jsonl", "data/tset.jsonl"), "did you mean `test.jsonl`?"),
    "a placeholder": (misspell("prompts/route.md", "{{ gist }}", "{{ gits }}"), "did you mean `gist`?"),
    "a prompt's section": (misspell("prompts/route.md", "User:", "user:"), "`user:` begins no section: write `User:`"),
    "a step": (misspell("pipeline.py", '"gist"', '"gists"'), "has no prompts/gists.md; did you mean `gist`?"),
    "a setting": (misspell("prompts/route.md", "temperature", "temprature"), "did you mean `temperature`?"),
    "a prompt's role": (misspell("prompts/route.md", "sampling", "model: tsk\nsampling"), "did you mean `task`?"),
}


@pytest.mark.parametrize("fault", MISSPELT)
def test_what_was_probably_meant_is_named(tmp_path: Path, fault: str) -> None:
    shutil.copytree(GOOD, tmp_path / "pipeline")
    break_it, words = MISSPELT[fault]
    break_it(tmp_path / "pipeline")
    with pytest.raises((UsageError, CredentialsError)) as refused:
        check_models(load_project(tmp_path / "pipeline").model_names)
    assert words in str(refused.value)


BOTH = ("an unknown model", "duplicate case ids", "code that raises on import")
"""Faults of each kind of check, tried with `optimize` too: the checks are the same."""


@pytest.mark.parametrize(
    ("command", "fault"), [("eval", fault) for fault in FAULTS] + [("optimize", fault) for fault in BOTH]
)
def test_a_fault_in_the_pipeline_is_named(tmp_path: Path, fault: str, command: str) -> None:
    pipeline = tmp_path / "pipeline"
    shutil.copytree(GOOD, pipeline)
    break_it, words = FAULTS[fault]
    break_it(pipeline)
    done = fapo(tmp_path, command, pipeline)
    errors = [line for line in done.err.splitlines() if line.startswith("error ")]
    assert (done.code, len(errors)) == (2, 1), done.err
    assert words in errors[0]
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eval", "nowhere"), "`fapo init NAME` makes one"),
        (("eval", "my-bto"), "did you mean `my-bot`?"),
        (("eval", "quickstrat"), "did you mean `quickstart`?"),
        (("eval", "my-bot/pipeline.yaml"), "is a file: give the directory that it is in"),
        (("evl", "my-bot"), "Did you mean 'eval'?"),
        (("eval", "my-bot", "--splt", "train"), "--split"),
        (("benchmark", "show", "hotpot"), "did you mean `hotpotqa`?"),
        (("show", "20260101"), "none in"),
    ],
)
def test_a_name_that_nothing_has_is_told_with_what_there_is(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    shutil.copytree(GOOD, tmp_path / "my-bot")
    done = fapo(tmp_path, *arguments)
    assert (done.code, words in done.err) == (2, True), done.err


def test_without_credentials_for_the_agent_nothing_starts(tmp_path: Path) -> None:
    done = fapo(tmp_path, "optimize", GOOD, "--optimizer-model", "claude-opus-4-6")
    assert done.code == 2
    assert "ANTHROPIC_API_KEY" in done.err
    assert not (tmp_path / "runs").exists()


def test_without_a_key_for_codex_nothing_starts(tmp_path: Path) -> None:
    done = fapo(tmp_path, "optimize", GOOD, "--optimizer-model", "codex/gpt-5.5", ANTHROPIC_API_KEY="of-another")
    assert done.code == 2
    assert "set OPENAI_API_KEY" in done.err
    assert not (tmp_path / "runs").exists()


def test_a_runs_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = fapo(tmp_path, "eval", GOOD, FAPO_RUNS_DIR=str(tmp_path / "file" / "runs"))
    assert done.code == 2
    assert "FAPO_RUNS_DIR" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("optimize",),
        ("optimize", str(GOOD), "--scope", "prompt,magic"),
        ("optimize", str(GOOD), "--max-variants", "0"),
        ("optimize", "--resume", "nowhere"),
        ("eval", str(GOOD), "--split", "holdout"),
        ("eval", str(GOOD), "--limit", "0"),
        ("eval", str(GOOD), "--sample", "3"),
        ("trace", "nowhere", "case"),
        ("frobnicate",),
    ],
)
def test_wrong_use_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = fapo(tmp_path, *arguments)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
