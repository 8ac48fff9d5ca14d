"""What a commit holds is read without checking it out."""

from __future__ import annotations

from pathlib import Path

import pytest

from fapo.errors import GitError, UsageError
from fapo.store.git import Repository, find_repository
from fapo.store.variants import take_snapshot
from tests.support.repositories import bare_remote, checkout, commit_all, git
from tests.support.scripted import PIPELINE


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return checkout(bare_remote(tmp_path, PIPELINE), tmp_path / "tree", depth=None)


def test_a_variant_in_a_commit_is_the_one_in_its_work_tree(repository: Repository) -> None:
    tree = repository.top / "pipe"
    (tree / "resources").mkdir()
    (tree / "resources" / "naïve name.bin").write_bytes(b"\x00\n\xff\n")
    (tree / "empty.py").write_text("")
    commit_all(repository.top, "more")
    (tree / "pipeline.py").write_text("changed")
    assert repository.snapshot("HEAD~1", "pipe") == take_snapshot(PIPELINE)
    assert repository.snapshot("HEAD", "pipe")["resources/naïve name.bin"] == b"\x00\n\xff\n"
    assert repository.snapshot("HEAD", "pipe")["empty.py"] == b""
    assert repository.snapshot("HEAD", "nothing") == {}


def test_a_pipeline_may_be_the_whole_repository(tmp_path: Path) -> None:
    remote = bare_remote(tmp_path)
    tree = checkout(remote, tmp_path / "tree").top
    for path, content in take_snapshot(PIPELINE).items():
        (tree / path).parent.mkdir(exist_ok=True)
        (tree / path).write_bytes(content)
    commit_all(tree, "at the top")
    found = find_repository(tree / "prompts")
    assert found is not None
    assert found.path_of(tree) == "."
    assert found.snapshot("HEAD", ".") == take_snapshot(PIPELINE)
    (tree / "prompts" / "more.md").write_text("User:\nx\n")
    assert found.uncommitted(".", leave_out="fapo.lock") == ["prompts/more.md"]


def test_links_in_a_commit_are_refused(repository: Repository) -> None:
    (repository.top / "pipe" / "prompts" / "link.md").symlink_to("/etc/passwd")
    commit_all(repository.top, "a link")
    with pytest.raises(UsageError, match="links and special files"):
        repository.snapshot("HEAD", "pipe")


def test_a_commit_that_is_not_here_says_how_to_fetch_it(repository: Repository) -> None:
    assert repository.commit_of("origin/main") == git(repository.top, "rev-parse", "HEAD")
    for name in ("nowhere", "--output=x"):
        with pytest.raises(UsageError, match="git fetch --depth=1"):
            repository.commit_of(name)


def test_what_git_complains_of_names_no_password(repository: Repository) -> None:
    with pytest.raises(GitError) as failed:
        repository.run("fetch", "http://somebody:secret@127.0.0.1:9/x.git")
    assert "127.0.0.1" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_no_repository(tmp_path: Path) -> None:
    assert find_repository(tmp_path) is None
