"""What cannot be a night is refused before a call is paid for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from fapo.cli.night import Place, find_place, run_night
from fapo.config import CiConfig, Environment
from fapo.errors import CredentialsError, UsageError
from fapo.store.files import lock_directory
from tests.support.repositories import bare_remote, checkout, commit_all, git
from tests.support.scripted import PIPELINE


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return checkout(bare_remote(tmp_path, PIPELINE), tmp_path / "tree").top


def place(tree: Path, pipeline: str = "pipe", variables: dict[str, str] | None = None, **options: Any) -> Place:
    cache = tree.parent / "cache"
    environment = Environment(runs_dir=tree.parent / "runs", cache_file=cache / "replies.sqlite", home=tree.parent,
                              benchmarks_dir=cache, variables=variables or {}, plain=True)  # fmt: skip
    return find_place(str(tree / pipeline), CiConfig.model_validate(options), environment)


def test_a_clean_checkout_is_accepted_and_its_lock_is_no_change(tree: Path) -> None:
    (tree / "pipe" / "fapo.lock").write_text("{}")
    (tree / "pipe" / "notes.txt").write_text("not part of a variant\n")
    found = place(tree, variables={"GITHUB_RUN_ID": "12"})
    assert (found.path, found.branch, found.base, found.night) == ("pipe", "fapo/prompt_suffices", "main", "github-12")


def test_what_is_not_committed(tree: Path) -> None:
    (tree / "pipe" / "prompts" / "new.md").write_text("User:\n{{ message }}\n")
    with pytest.raises(UsageError, match=r"pipe/prompts/new.md: not committed"):
        place(tree)
    commit_all(tree, "new")
    (tree / "README.md").write_text("changed\n")
    with pytest.raises(UsageError, match=r"README.md: not committed; what is deployed is the last commit"):
        place(tree)


def test_a_search_without_limit_or_credentials(tree: Path) -> None:
    with pytest.raises(UsageError, match="needs a limit: --budget-usd"):
        place(tree, model="openai/gpt-4o-mini")
    with pytest.raises(CredentialsError, match="no credentials for the optimizer"):
        place(tree, model="openai/gpt-4o-mini", budget_usd=1)
    assert place(tree, model="openai/gpt-4o-mini", optimize="never").base == "main"


def test_a_pull_request_that_has_nowhere_to_go(tree: Path) -> None:
    with pytest.raises(UsageError, match="needs GITHUB_TOKEN"):
        place(tree, pull_request=True)
    known = {"GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": "a/b"}
    git(tree, "checkout", "--quiet", "--detach")
    with pytest.raises(UsageError, match="say by --base"):
        place(tree, pull_request=True, variables=known)
    named = known | {"GITHUB_REF_NAME": "trunk", "GITHUB_REF_TYPE": "branch"}
    assert place(tree, pull_request=True, variables=named).base == "trunk"


def test_the_branch_of_proposals_is_not_what_is_deployed(tree: Path) -> None:
    git(tree, "checkout", "--quiet", "-b", "fapo/prompt_suffices")
    with pytest.raises(UsageError, match="check out what is deployed"):
        place(tree)


def test_no_repository(tree: Path, tmp_path: Path) -> None:
    (tree / ".git").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="not in a git repository"):
        place(tree)


def test_two_nights_of_a_pipeline_at_once(tree: Path) -> None:
    found = place(tree)
    found.folder.mkdir(parents=True)
    with lock_directory(found.folder), pytest.raises(UsageError, match="another fapo process is working on it"):
        asyncio.run(run_night(found, Console(stderr=True)))


def test_a_name_that_is_no_file_name() -> None:
    with pytest.raises(ValidationError, match="night"):
        CiConfig(night="../up")
