"""Git, as far as fapo needs it: what a commit holds, and commits that are made without touching the work tree."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fapo.errors import GitError, UsageError
from fapo.store.variants import belongs

NAME, MAIL = "fapo", "fapo@noreply.invalid"
"""Who makes fapo's commits. No account can have this address."""
_FILE, _PROGRAM = "100644", "100755"
Variables = dict[str, str]
_NONE: Variables = {}
_ALWAYS: Variables = {"GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1", "LC_ALL": "C"}
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Repository:
    """A work tree of git. Refs are whatever git resolves to a commit; paths are relative to `top`, POSIX."""

    top: Path

    def path_of(self, directory: Path) -> str:
        """`directory` as a path in the repository, `.` for its top."""
        return directory.resolve().relative_to(self.top).as_posix()

    def run(self, *arguments: str, given: bytes | None = None, variables: Variables = _NONE) -> bytes:
        """What a git command prints. Raises GitError where it fails; it never asks for a password."""
        own = [f"{name}={value}" for name, value in (_ALWAYS | variables).items()]
        command = ["env", *own, "git", "-C", str(self.top), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, check=False)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            text = _SECRET.sub("", "; ".join(line.strip() for line in said[-3:]))
            raise GitError(f"git {arguments[0]} failed: {text}")
        return done.stdout

    def word(self, *arguments: str, variables: Variables = _NONE) -> str:
        """The one line that a git command prints."""
        return self.run(*arguments, variables=variables).decode(errors="surrogateescape").strip()

    def commit_of(self, ref: str) -> str:
        """The full name of a commit. Raises UsageError where there is none here, as may be in a shallow checkout."""
        try:
            return self.word("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        except GitError:
            hint = "in a shallow checkout, fetch it first: git fetch --depth=1 origin BRANCH, and use FETCH_HEAD"
            raise UsageError(f"no commit `{ref}` in {self.top}; {hint}") from None

    def remote_tip(self, remote: str, branch: str) -> str | None:
        """The commit at which a branch of a remote stands, fetched; None where there is no such branch."""
        ref = f"refs/heads/{branch}"
        if not self.run("ls-remote", remote, ref).strip():
            return None
        shallow = ("--depth=1",) if self.word("rev-parse", "--is-shallow-repository") == "true" else ()
        kept = f"refs/fapo/{branch}"
        self.run("fetch", "--quiet", "--no-tags", *shallow, remote, f"+{ref}:{kept}")
        return self.word("rev-parse", kept)

    @property
    def branch(self) -> str | None:
        """The branch that is checked out; None at a detached head."""
        name = self.word("rev-parse", "--abbrev-ref", "HEAD")
        return None if name == "HEAD" else name

    def read(self, ref: str, path: str) -> bytes | None:
        """The content of a file in a commit; None where it has none."""
        try:
            return self.run("show", f"{ref}:{path}")
        except GitError:
            return None

    def snapshot(self, ref: str, path: str) -> dict[str, bytes]:
        """The variant that the folder `path` of a commit holds; empty where there is no such folder."""
        tree = f"{ref}:" if path == "." else f"{ref}:{path}"
        try:
            listed = self.run("ls-tree", "-r", "-z", tree).decode(errors="surrogateescape")
        except GitError:
            return {}
        blobs: dict[str, str] = {}
        for line in filter(None, listed.split("\0")):
            facts, name = line.split("\t", 1)
            mode, _, blob = facts.split()
            if belongs(name):
                if mode not in (_FILE, _PROGRAM):
                    raise UsageError("links and special files cannot be part of a pipeline", path=f"{tree}/{name}")
                blobs[name] = blob
        return dict(sorted(zip(blobs, self._contents(list(blobs.values())), strict=True)))

    def _contents(self, blobs: list[str]) -> list[bytes]:
        out = self.run("cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs).encode())
        found = []
        for _ in blobs:
            head, _, out = out.partition(b"\n")
            size = int(head.split()[2])
            found.append(out[:size])
            out = out[size + 1 :]
        return found

    def uncommitted(self, path: str, *, leave_out: str) -> list[str]:
        """Files that differ from the last commit: of those that git knows any, of others what belongs to the variant in
        the folder `path`. Files of the name `leave_out` do not count, nor do ignored ones.
        """
        changed = self.run("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames")
        known = [line[3:] for line in changed.decode(errors="surrogateescape").split("\0") if line]
        folder = self.top / path
        others = self.run("ls-files", "-z", "--others", "--exclude-standard", "--", path)
        new = [name for name in others.decode(errors="surrogateescape").split("\0") if name]
        own = [name for name in new if belongs((self.top / name).relative_to(folder).as_posix())]
        return sorted(name for name in {*known, *own} if name.rsplit("/", 1)[-1] != leave_out)

    def ignores(self, path: str) -> bool:
        try:
            self.run("check-ignore", "--quiet", "--", path)
        except GitError:
            return False
        return True

    def commit(self, parent: str | None, files: Mapping[str, bytes | None], message: str) -> str:
        """A commit of fapo's own on `parent` that writes `files`, or removes those that are None; modes are kept.

        Neither the work tree nor its index nor a branch changes. Returns the commit's name.
        """
        with tempfile.TemporaryDirectory(prefix="fapo-index-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            if parent is not None:
                self.run("read-tree", parent, variables=index)
            for path, content in files.items():
                if content is None:
                    self.run("update-index", "--force-remove", "--", path, variables=index)
                    continue
                blob = self.run("hash-object", "-w", "--stdin", given=content).decode().strip()
                mode = self._mode(parent, path)
                self.run("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}", variables=index)
            tree = self.word("write-tree", variables=index)
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", NAME), ("EMAIL", MAIL))}  # fmt: skip
        onto = () if parent is None else ("-p", parent)
        return self.word("commit-tree", tree, *onto, "-m", message, variables=who)

    def _mode(self, parent: str | None, path: str) -> str:
        known = self.run("ls-tree", "-z", parent, "--", path).decode(errors="replace") if parent is not None else ""
        return known.split()[0] if known else _FILE


def find_repository(directory: Path) -> Repository | None:
    """The repository whose work tree holds `directory`, if there is one."""
    command = ["git", "-C", str(directory), "rev-parse", "--show-toplevel"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode != 0:
        if b"dubious ownership" in done.stderr:
            raise UsageError("git does not trust this folder's owner; see `git help config`, safe.directory",
                             path=directory)  # fmt: skip
        return None
    return Repository(Path(os.fsdecode(done.stdout.rstrip(b"\n"))))
