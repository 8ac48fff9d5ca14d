"""Variants: immutable snapshots of a pipeline directory, named by content.

What belongs to a snapshot is an allow-list, so that case files, score functions, keys and whatever else lies beside a
pipeline never reach the agent's workspace or the worker.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from fapo.errors import UsageError
from fapo.store.files import write_file

Snapshot = Mapping[str, bytes]

MAX_FILE_BYTES = 64 * 2**20
MAX_FILES = 2000
_ANY = 2**63
_SKIPPED_DIRS = {"data", "tests", "runs", "node_modules", "venv"}
_TREES = {"prompts", "resources"}


def belongs(path: str) -> bool:
    """Whether a relative POSIX path is part of a variant: `pipeline.yaml`, `*.py`, `prompts/**`, `resources/**`."""
    parts = PurePosixPath(path).parts
    if any(part.startswith((".", "__pycache__")) for part in parts):
        return False
    if path == "pipeline.yaml" or parts[0] in _TREES:
        return True
    return path.endswith(".py") and parts[0] not in _SKIPPED_DIRS


def take_snapshot(directory: Path, *, hard_links: bool = False) -> dict[str, bytes]:
    """The files of a variant as they are now, read without ever following a link.

    `hard_links` is for what the user owns: package managers install by hard link, and an agent could link to a secret.
    Raises UsageError for links, special files, and more or larger files than a pipeline has reason to hold.
    """
    files: dict[str, bytes] = {}
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _walk(root, "", files, directory, _ANY if hard_links else 1)
    finally:
        os.close(root)
    return dict(sorted(files.items()))


def _walk(folder: int, prefix: str, files: dict[str, bytes], top: Path, most_links: int) -> None:
    for name in sorted(os.listdir(folder)):
        path = prefix + name
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            if name.startswith(".") or name == "__pycache__" or (not prefix and name in _SKIPPED_DIRS):
                continue
            child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                _walk(child, path + "/", files, top, most_links)
            finally:
                os.close(child)
        elif belongs(path):
            files[path] = _read_regular(name, folder, top / path, most_links)
            if len(files) > MAX_FILES:
                raise UsageError(f"more than {MAX_FILES} files belong to the pipeline", path=top)


def _read_regular(name: str, folder: int, shown: Path, most_links: int) -> bytes:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise UsageError(
            f"links and special files cannot be part of a pipeline ({error.strerror})", path=shown
        ) from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > most_links:
            raise UsageError("links and special files cannot be part of a pipeline", path=shown)
        if status.st_size > MAX_FILE_BYTES:
            raise UsageError(f"larger than {MAX_FILE_BYTES >> 20} MiB", path=shown)
        return file.read()


def snapshot_digest(snapshot: Snapshot) -> str:
    """SHA-256 over paths and contents, in hex."""
    total = hashlib.sha256()
    for path in sorted(snapshot):
        content = hashlib.sha256(snapshot[path]).hexdigest()
        total.update(f"{path}\0{content}\n".encode())
    return total.hexdigest()


def write_snapshot(snapshot: Snapshot, directory: Path) -> None:
    """Write a snapshot's files below `directory`."""
    for path, content in snapshot.items():
        write_file(directory / path, content)


def freeze_snapshot(snapshot: Snapshot, directory: Path) -> None:
    """Make `directory` hold exactly this snapshot, read-only; whole or not at all, whatever was there before."""
    if directory.is_dir() and take_snapshot(directory) == dict(snapshot):
        return
    partial = directory.with_name(f".{directory.name}.partial")
    for stale in (partial, directory):
        shutil.rmtree(stale, ignore_errors=True)
    write_snapshot(snapshot, partial)
    for path in snapshot:
        (partial / path).chmod(0o444)
    partial.rename(directory)
