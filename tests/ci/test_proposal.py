"""A proposal is a branch with one commit of fapo's; nobody else's commits are ever replaced."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fapo.ci.proposal import propose
from fapo.errors import GitError
from fapo.store.git import MAIL, Repository
from tests.support.repositories import bare_remote, checkout, commit_all, git

BRANCH = "fapo/pipe"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare_remote(tmp_path)


def offer(repository: Repository, text: str, *, remote: str | None = "origin") -> str:
    found = propose(repository, {"new.txt": text.encode()}, f"{text} is better", branch=BRANCH, remote=remote)
    return found.branch


def content(remote: Path, branch: str = BRANCH) -> str:
    return git(remote, "show", f"{branch}:new.txt")


def test_the_branch_is_main_and_one_commit_and_the_work_tree_stays_as_it_is(remote: Path, tmp_path: Path) -> None:
    here = checkout(remote, tmp_path / "a")
    assert offer(here, "one") == BRANCH
    assert content(remote) == "one"
    assert git(remote, "rev-list", "--count", f"main..{BRANCH}") == "1"
    assert git(remote, "log", "-1", "--format=%an %ae %ce", BRANCH) == f"fapo {MAIL} {MAIL}"
    assert git(here.top, "status", "--porcelain") == ""
    assert here.branch == "main"


def test_a_later_proposal_takes_the_place_of_fapos_own_also_from_another_shallow_checkout(
    remote: Path, tmp_path: Path
) -> None:
    offer(checkout(remote, tmp_path / "a"), "one")
    assert offer(checkout(remote, tmp_path / "b"), "two") == BRANCH
    assert content(remote) == "two"
    assert git(remote, "rev-list", "--count", f"main..{BRANCH}") == "1"


@pytest.mark.parametrize("how", ["on top", "amended", "underneath"])
def test_what_somebody_committed_there_stays(remote: Path, tmp_path: Path, how: str) -> None:
    offer(checkout(remote, tmp_path / "a"), "one")
    somebody = checkout(remote, tmp_path / "somebody", depth=None).top
    git(somebody, "checkout", "--quiet", BRANCH)
    (somebody / "mine.txt").write_text("mine\n")
    if how == "on top":
        commit_all(somebody, "mine")
    elif how == "amended":
        git(somebody, "add", "--all")
        git(somebody, "commit", "--quiet", "--amend", "--no-edit")
    else:
        git(somebody, "checkout", "--quiet", "main")
        commit_all(somebody, "mine")
        git(somebody, "-c", f"user.email={MAIL}", "cherry-pick", f"origin/{BRANCH}")
        git(somebody, "checkout", "--quiet", "-B", BRANCH)
    git(somebody, "push", "--quiet", "--force", "origin", BRANCH)
    before = git(remote, "rev-parse", BRANCH)
    assert offer(checkout(remote, tmp_path / "b"), "two") == f"{BRANCH}-2"
    assert git(remote, "rev-parse", BRANCH) == before
    assert content(remote, f"{BRANCH}-2") == "two"
    assert offer(checkout(remote, tmp_path / "c"), "three") == f"{BRANCH}-2"


def test_two_at_once_leave_one_of_them_whole(remote: Path, tmp_path: Path) -> None:
    trees = [checkout(remote, tmp_path / name) for name in "abc"]
    threads = [threading.Thread(target=offer, args=(tree, tree.top.name * 3)) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    branches = git(remote, "for-each-ref", "--format=%(refname:short)", "refs/heads/fapo").split()
    assert {content(remote, branch) for branch in branches} <= {"aaa", "bbb", "ccc"}
    assert BRANCH in branches
    assert all(git(remote, "rev-list", "--count", f"main..{branch}") == "1" for branch in branches)


def test_without_a_remote_the_branch_is_here(remote: Path, tmp_path: Path) -> None:
    here = checkout(remote, tmp_path / "a")
    assert offer(here, "one", remote=None) == BRANCH
    assert offer(here, "two", remote=None) == BRANCH
    assert content(here.top) == "two"
    assert "fapo" not in git(remote, "branch", "--list")


def test_a_remote_that_refuses_is_named(remote: Path, tmp_path: Path) -> None:
    here = checkout(remote, tmp_path / "a")
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'branches are protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(GitError, match=r"git push failed: .*rejected"):
        offer(here, "one")
    assert git(remote, "branch", "--list", "fapo/*") == ""


def test_modes_are_kept_and_files_can_go(remote: Path, tmp_path: Path) -> None:
    here = checkout(remote, tmp_path / "a")
    (here.top / "run.sh").write_text("#!/bin/sh\n")
    (here.top / "run.sh").chmod(0o755)
    commit_all(here.top, "a program")
    propose(here, {"run.sh": b"#!/bin/sh\nexit 0\n", "README.md": None}, "m", branch=BRANCH, remote=None)
    listed = git(here.top, "ls-tree", BRANCH).split("\n")
    assert [line.split()[0] for line in listed] == ["100755"]
