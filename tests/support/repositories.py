"""Real git repositories in a temporary directory: a bare remote, and work trees of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from fapo.store.git import Repository
from fapo.store.testlock import LOCK_FILE


def git(place: Path, *arguments: str) -> str:
    """What a git command prints. Commits are somebody's, not fapo's."""
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", "-C", str(place), *who, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bare_remote(folder: Path, pipeline: Path | None = None, *, name: str = "pipe") -> Path:
    """A bare repository whose branch `main` has one commit, with `pipeline` in the folder `name`."""
    remote, seed = folder / "remote.git", folder / "seed"
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    git(folder, "clone", "--quiet", str(remote), str(seed))
    (seed / "README.md").write_text("pipelines\n")
    if pipeline is not None:
        shutil.copytree(pipeline, seed / name, ignore=shutil.ignore_patterns(LOCK_FILE, "__pycache__"))
    commit_all(seed, "the first one")
    git(seed, "push", "--quiet", "origin", "HEAD:main")
    return remote


def commit_all(tree: Path, message: str) -> str:
    git(tree, "add", "--all")
    git(tree, "commit", "--quiet", "--message", message)
    return git(tree, "rev-parse", "HEAD")


def checkout(remote: Path, place: Path, *, depth: int | None = 1) -> Repository:
    """A fresh work tree of `main`, shallow as GitHub's checkout makes it."""
    shallow = () if depth is None else (f"--depth={depth}",)
    git(remote, "clone", "--quiet", "--branch=main", *shallow, remote.as_uri(), str(place))
    return Repository(place)
