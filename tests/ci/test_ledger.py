"""fapo.lock lives on a branch of its own: every night knows every other, in whatever order they end."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fapo.ci.ledger import BRANCH, Ledger
from fapo.errors import GitError, UsageError
from fapo.store.nightlock import close_check, open_check, record_baseline
from fapo.store.testlock import LOCK_FILE, Baseline, TestLock, parse_lock, read_lock
from tests.support.repositories import bare_remote, checkout, git

BASELINE = Baseline(
    "n0", "2026-01-01T00:00:00+00:00", "p", "c", "s", {"task": "m"}, 1, 0.5, 0.4, 0.6, 2, "0 1", "0.1.0"
)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare_remote(tmp_path)


def ledger(remote: Path, place: Path) -> tuple[Ledger, Path]:
    repository = checkout(remote, place)
    directory = repository.top / "pipe"
    directory.mkdir()
    return Ledger(repository, "origin", "pipe"), directory


def a_night(remote: Path, place: Path, night: str) -> int:
    kept, directory = ledger(remote, place)
    kept.pull(directory)
    number, _ = open_check(directory, night=night, baseline=BASELINE, standin=False)
    kept.push(directory)
    return number


def on_remote(remote: Path) -> TestLock:
    return parse_lock(git(remote, "show", f"{BRANCH}:pipe/{LOCK_FILE}").encode(), "there")


def test_a_fresh_checkout_knows_the_nights_before(remote: Path, tmp_path: Path) -> None:
    kept, directory = ledger(remote, tmp_path / "a")
    record_baseline(directory, BASELINE)
    kept.push(directory)
    assert [a_night(remote, tmp_path / name, name) for name in "bcd"] == [1, 2, 3]
    assert on_remote(remote).baseline == BASELINE
    assert git(remote, "rev-parse", "--verify", "main^{tree}")
    assert git(remote, "ls-tree", "-r", "--name-only", BRANCH) == f"pipe/{LOCK_FILE}"


def test_nights_that_end_together_are_all_kept(remote: Path, tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    threads = [threading.Thread(target=a_night, args=(remote, tmp_path / name, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(check.night for check in on_remote(remote).checks) == names


def test_a_finished_entry_is_not_undone_by_one_that_was_only_opened(remote: Path, tmp_path: Path) -> None:
    a_night(remote, tmp_path / "a", "a")
    stale, directory = ledger(remote, tmp_path / "b")
    stale.pull(directory)
    done, there = ledger(remote, tmp_path / "c")
    done.pull(there)
    (check,) = read_lock(there).checks
    close_check(there, replace(check, p=0.5, fell=False))
    done.push(there)
    stale.push(directory)
    assert on_remote(remote).checks[0].p == 0.5
    assert read_lock(directory).checks[0].p == 0.5


def test_nothing_new_is_no_commit(remote: Path, tmp_path: Path) -> None:
    a_night(remote, tmp_path / "a", "a")
    before = git(remote, "rev-parse", BRANCH)
    kept, directory = ledger(remote, tmp_path / "b")
    kept.pull(directory)
    kept.push(directory)
    assert git(remote, "rev-parse", BRANCH) == before


def test_a_damaged_ledger_is_no_empty_one(remote: Path, tmp_path: Path) -> None:
    kept, directory = ledger(remote, tmp_path / "a")
    commit = kept.repository.commit(None, {kept.file: b"{"}, "broken")
    kept.repository.run("push", "--quiet", "origin", f"{commit}:refs/heads/{BRANCH}")
    with pytest.raises(UsageError, match="restore it from version control"):
        kept.pull(directory)


def test_a_remote_that_is_not_there_is_no_empty_one(remote: Path, tmp_path: Path) -> None:
    kept, directory = ledger(remote, tmp_path / "a")
    with pytest.raises(GitError, match="git ls-remote failed"):
        replace(kept, remote="nowhere").pull(directory)
