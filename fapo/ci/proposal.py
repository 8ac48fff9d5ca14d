"""A better variant as a branch with one commit, for a person to merge. Somebody else's commits are never replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fapo.errors import GitError, UsageError
from fapo.store.git import MAIL, Repository

_TRAILER = "Fapo-Base"
_NAMES = 20
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Proposal:
    """A commit on `base` at the tip of a branch: here, or of `remote` if there is one."""

    branch: str
    commit: str
    base: str
    remote: str | None


def propose(
    repository: Repository, files: Mapping[str, bytes | None], message: str, *, branch: str, remote: str | None
) -> Proposal:
    """Commit `files` on what is checked out, and let `branch` be that commit.

    The branch may exist: it is replaced where its one commit is fapo's own. Otherwise the next of `branch-2`,
    `branch-3` and so on is taken. Raises GitError, and UsageError where none of them is free.
    """
    base = repository.commit_of("HEAD")
    commit = repository.commit(base, files, f"{message.rstrip()}\n\n{_TRAILER}: {base}\n")
    for name in (branch, *(f"{branch}-{number}" for number in range(2, _NAMES))):
        if _replace(repository, name, commit, remote):
            return Proposal(name, commit, base, remote)
    raise UsageError(f"all branches `{branch}-...` hold commits that are not fapo's; delete those that are merged")


def _replace(repository: Repository, branch: str, commit: str, remote: str | None) -> bool:
    """Let a branch be `commit`; False where it holds somebody else's commits, or comes to hold them meanwhile."""
    for left in reversed(range(_TRIES)):
        tip = _tip(repository, branch, remote)
        if tip is not None and not _is_own(repository, tip):
            return False
        try:
            if remote is None:
                repository.run("branch", "--force", "--no-track", branch, commit)
            else:
                lease = f"--force-with-lease=refs/heads/{branch}:{tip or ''}"
                repository.run("push", "--quiet", lease, remote, f"{commit}:refs/heads/{branch}")
            return True
        except GitError:
            if not left or _tip(repository, branch, remote) == tip:
                raise
    raise AssertionError("the last try returns or raises")


def _tip(repository: Repository, branch: str, remote: str | None) -> str | None:
    if remote is not None:
        return repository.remote_tip(remote, branch)
    try:
        return repository.word("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
    except GitError:
        return None


def _is_own(repository: Repository, tip: str) -> bool:
    """Whether a branch holds one commit of fapo's and nothing else, as far as a shallow checkout can see.

    The commit says what it was made on. Whoever amends it, or puts it onto something else, becomes its committer.
    """
    raw = repository.run("cat-file", "commit", tip).decode(errors="replace")
    parents = re.findall(r"^parent ([0-9a-f]+)$", raw.split("\n\n", 1)[0], re.MULTILINE)
    committers = re.findall(r"^committer .*<(.*?)> ", raw.split("\n\n", 1)[0], re.MULTILINE)
    bases = re.findall(rf"^{_TRAILER}: ([0-9a-f]+)$", raw, re.MULTILINE)
    return committers == [MAIL] and len(parents) == 1 and parents == bases
