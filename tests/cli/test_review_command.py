"""`fapo review`: findings by place, exit codes, and what a change is compared with."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.command import builtin, fapo


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repo" / "orders"
    shutil.copytree(builtin("pipelines", "quickstart"), directory, ignore=shutil.ignore_patterns("fapo.lock"))
    for command in (["init", "-q"], ["add", "."],
                    ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"]):  # fmt: skip
        subprocess.run(["git", "-C", str(directory.parent), *command], check=True)
    return directory


def leak(directory: Path) -> str:
    row = json.loads((directory / "data" / "test.jsonl").read_text().splitlines()[0])
    prompt = directory / "prompts" / "extract.md"
    prompt.write_text(prompt.read_text() + f"\nFor example: {row['inputs']['notice']}\n")
    return str(prompt)


def test_an_unchanged_pipeline_has_nothing_against_it(repository: Path, tmp_path: Path) -> None:
    done = fapo(tmp_path, "review", repository)
    assert (done.code, done.out.strip()) == (0, f"{repository}: nothing found")


def test_a_change_since_the_last_commit_is_reviewed(repository: Path, tmp_path: Path) -> None:
    prompt = leak(repository)
    done = fapo(tmp_path, "review", repository)
    assert done.code == 1
    assert done.out.startswith(prompt)
    assert "repeats a case's text" in done.out
    subprocess.run(["git", "-C", str(repository), "checkout", "-q", "."], check=True)
    assert fapo(tmp_path, "review", repository).code == 0


def test_a_change_is_compared_with_another_directory(repository: Path, tmp_path: Path) -> None:
    leak(repository)
    done = fapo(tmp_path, "review", repository, "--against", builtin("pipelines", "quickstart"), "--json")
    assert done.code == 1
    assert {finding["check"] for finding in done.json["findings"]} == {"leakage"}


def test_without_a_commit_the_whole_pipeline_is_reviewed(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(builtin("pipelines", "quickstart"), copy)
    assert fapo(tmp_path, "review", copy).code == 0
    leak(copy)
    assert fapo(tmp_path, "review", copy).code == 1


def test_levels_count_where_a_scope_is_given(repository: Path, tmp_path: Path) -> None:
    code = repository / "pipeline.py"
    code.write_text(code.read_text() + "\nLATER = 1\n")
    assert fapo(tmp_path, "review", repository).code == 0
    done = fapo(tmp_path, "review", repository, "--scope", "prompt")
    assert done.code == 1
    assert "level `structure`" in done.out
    assert fapo(tmp_path, "review", repository, "--scope", "prompts").code == 2


def test_what_is_no_pipeline_is_wrong_use(tmp_path: Path) -> None:
    done = fapo(tmp_path, "review", tmp_path / "gone")
    assert done.code == 2
    assert "no such pipeline directory" in done.err


def test_the_pre_commit_hook_stops_a_leak(repository: Path, tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text())
    program, *arguments = hook["entry"].split()
    assert program == "fapo"
    assert fapo(tmp_path, *arguments, repository).code == 0
    leak(repository)
    assert fapo(tmp_path, *arguments, repository).code == 1
