"""The best variant of a run, written into the pipeline that it came from."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fapo.errors import UsageError
from fapo.optimize.events import read_entries, replay
from fapo.optimize.run import BASELINE
from fapo.optimize.start import RUN_FILE
from fapo.store.files import read_json, write_atomic
from fapo.store.variants import take_snapshot


@dataclass(frozen=True, slots=True)
class BestVariant:
    """The best variant of a run beside its baseline, and where that came from."""

    variant: str
    source: Path
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
    return BestVariant(state.incumbent, Path(read_json(path)["source"]), take_snapshot(variants / BASELINE),
                       take_snapshot(variants / state.incumbent))  # fmt: skip


def apply_variant(best: BestVariant, target: Path) -> tuple[str, ...]:
    """Write what the variant changed into `target`, file modes kept; the paths that were written or removed.

    Files that hold the variant's content already are left alone, so that an interrupted call can be made again. Raises
    UsageError, and writes nothing, where a file is neither as the run began with it nor as the variant has it, or has
    changes that git has not committed.
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
    for path in todo:
        content = best.files.get(path)
        if content is None:
            (target / path).unlink()
        else:
            _write(target / path, content)
    return todo


def _write(path: Path, content: bytes) -> None:
    mode = path.stat().st_mode & 0o7777 if path.exists() else None
    write_atomic(path, content)
    if mode is not None:
        os.chmod(path, mode)


def _uncommitted(target: Path, paths: tuple[str, ...]) -> list[str]:
    """Those of `paths` that git knows and that differ from its last commit; none outside of a repository."""
    if not paths:
        return []
    command = ["git", "-C", str(target), "diff", "--name-only", "--relative", "-z", "HEAD", "--", *paths]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return []
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name] if done.returncode == 0 else []
