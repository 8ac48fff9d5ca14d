"""The best variant of a run, written into the pipeline that it came from."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fapo.errors import StorageError, UsageError
from fapo.optimize.events import read_entries, replay
from fapo.records import BASELINE
from fapo.store.files import read_json
from fapo.store.run_names import RUN_FILE
from fapo.store.variants import take_snapshot

_STAGE = ".fapo-apply-"
_NEW_FILE_MODE = 0o644


@dataclass(frozen=True, slots=True)
class BestVariant:
    """The best variant of a run beside its baseline, and where that came from."""

    variant: str
    source: Path
    status: str | None
    """How the run ended; None where it has not."""
    baseline: Mapping[str, bytes]
    files: Mapping[str, bytes]

    @property
    def changed(self) -> tuple[str, ...]:
        """Paths that differ, in order."""
        paths = sorted({*self.baseline, *self.files})
        return tuple(path for path in paths if self.baseline.get(path) != self.files.get(path))


def best_variant(run: Path) -> BestVariant:
    """The incumbent of a run, finished or not. Raises UsageError for what is no run."""
    path = run / RUN_FILE
    if not path.is_file():
        raise UsageError("not a run of fapo optimize: run.json is missing", path=run)
    state = replay(read_entries(run / "journal.jsonl"))
    variants = run / "variants"
    status = state.finished.status if state.finished else None
    return BestVariant(state.incumbent, Path(read_json(path)["source"]), status, take_snapshot(variants / BASELINE),
                       take_snapshot(variants / state.incumbent))  # fmt: skip


def apply_variant(best: BestVariant, target: Path) -> tuple[str, ...]:
    """Write what the variant changed into `target`, file modes kept; the paths that were written or removed.

    All new contents are on disk before the first file is replaced, and each is replaced as a whole. Files that hold the
    variant's content already are left alone, so that a call that was killed between two of them can be made again.
    Raises UsageError, and writes nothing, where a file is neither as the run began with it nor as the variant has it,
    or has changes that git has not committed; StorageError where there is no room.
    """
    if not target.is_dir():
        raise UsageError("no such pipeline directory", path=target)
    now = take_snapshot(target, hard_links=True)
    todo = tuple(path for path in best.changed if now.get(path) != best.files.get(path))
    if diverged := [path for path in todo if now.get(path) != best.baseline.get(path)]:
        raise UsageError(
            f"{', '.join(diverged)}: changed since the run began; take the patch and merge it by hand", path=target
        )
    if dirty := _uncommitted(target, todo):
        raise UsageError(f"{', '.join(dirty)}: not committed; commit or stash first", path=target)
    try:
        _replace(target, {path: best.files.get(path) for path in todo})
    except OSError as error:
        raise StorageError.of(target, error) from None
    return todo


def _replace(target: Path, contents: Mapping[str, bytes | None]) -> None:
    """Stage all contents in a folder of `target`, then move them to their places; what is None is removed."""
    for left in target.glob(f"{_STAGE}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=_STAGE) as stage:
        for number, (path, content) in enumerate(contents.items()):
            if content is not None:
                _stage(Path(stage, str(number)), content, _mode(target / path))
        for number, (path, content) in enumerate(contents.items()):
            if content is None:
                (target / path).unlink()
            else:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(stage, str(number)), target / path)


def _stage(path: Path, content: bytes, mode: int) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777 if path.exists() else _NEW_FILE_MODE


def _uncommitted(target: Path, paths: tuple[str, ...]) -> list[str]:
    """Those of `paths` that git would show as changed or as not added; none outside of a repository."""
    if not paths:
        return []
    git = ["git", "--no-optional-locks", "--literal-pathspecs", "-C", str(target)]
    command = [*git, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", *paths]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
        root = subprocess.run([*git, "rev-parse", "--show-prefix"], capture_output=True, check=False)
    except FileNotFoundError:
        return []
    if done.returncode or root.returncode:
        return []
    prefix = os.fsdecode(root.stdout).rstrip("\n")
    return [os.fsdecode(entry[3:]).removeprefix(prefix) for entry in done.stdout.split(b"\0") if entry]
