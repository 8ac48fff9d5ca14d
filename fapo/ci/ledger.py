"""The branch on which nights keep their `fapo.lock`, so that a fresh checkout knows what was looked at before.

A branch of its own, because the deployed branch may be protected, and has to hold only what somebody has merged. It is
never forced: of two nights that end together, the second one puts its lock and the first one's together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fapo.errors import GitError
from fapo.store.git import Repository
from fapo.store.nightlock import merge_locks
from fapo.store.testlock import LOCK_FILE, TestLock, held_lock, lock_text, parse_lock, read_lock, write_lock

BRANCH = "fapo-lock"
_TRIES = 8


@dataclass(frozen=True, slots=True)
class Ledger:
    """The lock of one pipeline, `path` in the repository, on the remote's branch `fapo-lock`."""

    repository: Repository
    remote: str
    path: str

    @property
    def file(self) -> str:
        return LOCK_FILE if self.path == "." else f"{self.path}/{LOCK_FILE}"

    def pull(self, directory: Path) -> None:
        """Bring what other nights took down into the lock in `directory`."""
        self._merge(directory, self.repository.remote_tip(self.remote, BRANCH))

    def push(self, directory: Path) -> None:
        """Bring the lock in `directory` to the branch, merged with what came there meanwhile. Raises GitError."""
        for left in reversed(range(_TRIES)):
            tip = self.repository.remote_tip(self.remote, BRANCH)
            text = lock_text(self._merge(directory, tip)).encode()
            if tip is not None and self.repository.read(tip, self.file) == text:
                return
            commit = self.repository.commit(tip, {self.file: text}, f"fapo.lock of {self.path}")
            try:
                self.repository.run("push", "--quiet", self.remote, f"{commit}:refs/heads/{BRANCH}")
                return
            except GitError:
                if not left or self.repository.remote_tip(self.remote, BRANCH) == tip:
                    raise

    def _merge(self, directory: Path, tip: str | None) -> TestLock:
        with held_lock(directory):
            ours = read_lock(directory)
            kept = None if tip is None else self.repository.read(tip, self.file)
            if kept is None:
                return ours
            merged = merge_locks(ours, parse_lock(kept, f"{BRANCH}:{self.file}"))
            if merged != ours:
                write_lock(directory, merged)
            return merged
