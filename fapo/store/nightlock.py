"""Nights in `fapo.lock`: what they are compared with, how often that was done, and locks of two places put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from fapo.errors import UsageError
from fapo.store.testlock import LOCK_FILE, Baseline, NightCheck, TestLock, TestLook, held_lock, read_lock, write_lock

T = TypeVar("T")


def require_night(directory: Path, *, night: str, cases: str) -> TestLock:
    """The lock, if it leaves a check on these validation cases. Raises UsageError, which says what to do, if not."""
    lock = read_lock(directory)
    if lock.night_number(night, cases) > lock.nights:
        raise UsageError(
            f"these validation cases were compared in {lock.nights} nights, and can show no more: collect fresh "
            "validation cases and put them in place of the old ones",
            path=directory / LOCK_FILE,
        )
    return lock


def open_check(directory: Path, *, night: str, baseline: Baseline, standin: bool) -> tuple[int, float]:
    """Enter a night's check before it is made; returns its number and its level. Once more changes nothing."""
    with held_lock(directory):
        lock = read_lock(directory) if standin else require_night(directory, night=night, cases=baseline.cases)
        number = lock.night_number(night, baseline.cases)
        if not any((check.night, check.cases) == (night, baseline.cases) for check in lock.checks):
            check = NightCheck(night, baseline.cases, baseline.pipeline, now(), standin)
            write_lock(directory, replace(lock, checks=(*lock.checks, check)))
        return number, lock.night_share


def close_check(directory: Path, check: NightCheck) -> None:
    """Take down what a night has found, in place of the entry that it opened."""
    with held_lock(directory):
        lock = read_lock(directory)
        key = check.night, check.cases
        checks = tuple(check if (old.night, old.cases) == key else old for old in lock.checks)
        write_lock(directory, replace(lock, checks=checks))


def find_check(lock: TestLock, *, night: str, cases: str) -> NightCheck | None:
    return next((check for check in lock.checks if (check.night, check.cases) == (night, cases)), None)


def record_baseline(directory: Path, baseline: Baseline) -> None:
    """Compare with this from now on."""
    with held_lock(directory):
        write_lock(directory, replace(read_lock(directory), baseline=baseline))


def merge_locks(ours: TestLock, theirs: TestLock) -> TestLock:
    """What both know: each look and check once, the later baseline. Of an entry in both, the one that is over."""
    looks = _union(ours.entries, theirs.entries, lambda look: (look.run, look.test), lambda look: look.p is not None)
    checks = _union(ours.checks, theirs.checks, lambda check: (check.night, check.cases), _progress)
    known = [each.baseline for each in (ours, theirs) if each.baseline is not None]
    latest = max(known, key=lambda baseline: baseline.recorded) if known else None
    return replace(ours, entries=tuple(sorted(looks, key=_opened)), checks=tuple(sorted(checks, key=_opened)),
                   baseline=latest)  # fmt: skip


def _progress(check: NightCheck) -> int:
    return (check.p is not None) + (check.searched is not None)


def _opened(entry: TestLook | NightCheck) -> str:
    return entry.opened


def _union(
    ours: Iterable[T], theirs: Iterable[T], key: Callable[[T], tuple[str, str]], progress: Callable[[T], int]
) -> Iterable[T]:
    found: dict[tuple[str, str], T] = {}
    for entry in (*ours, *theirs):
        if (old := found.get(key(entry))) is None or progress(entry) > progress(old):
            found[key(entry)] = entry
    return found.values()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
