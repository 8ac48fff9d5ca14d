"""`fapo.lock` beside a pipeline: how often the test split was looked at, over all runs and nights.

`runs/` may be deleted; the lock is committed with the pipeline. A run enters its look before it reads a test case, so
that a run that is killed has looked, too. What nights are compared with, and how often, is in it as well:
`fapo/store/nightlock.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from fapo.errors import UsageError
from fapo.store.files import from_json, to_python, write_atomic

LOCK_FILE = "fapo.lock"
ALPHA = 0.05
LOOKS = 5
NIGHTS = 100
_ABOUT = "Looks at test, and what nights compare with. Commit this file; delete it only together with the cases."


@dataclass(frozen=True, slots=True)
class TestLook:
    """One run's look at test. `p` and `confirmed` are None until it is over; a stand-in's look uses up nothing."""

    __test__ = False

    run: str
    test: str
    opened: str
    standin: bool
    p: float | None = None
    confirmed: bool | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was deployed when it was measured for the nights to come: digests, models, and its score on validation.

    `low` and `high` bound the mean with 95 % confidence. `scores` are those of the `n` cases, in the order of the
    cases and separated by blanks: each night is paired with them.
    """

    night: str
    recorded: str
    pipeline: str
    cases: str
    score: str
    models: dict[str, str]
    trials: int
    mean: float
    low: float
    high: float
    n: int
    scores: str
    fapo: str


@dataclass(frozen=True, slots=True)
class NightCheck:
    """One night's comparison with the baseline `pipeline` on the validation `cases`; all that follows is None until
    it is over.

    `p` is one-sided, for a fall. `searched` names the optimization that the fall led to, once that has ended.
    """

    night: str
    cases: str
    pipeline: str
    opened: str
    standin: bool
    mean: float | None = None
    difference: float | None = None
    p: float | None = None
    fell: bool | None = None
    searched: str | None = None


@dataclass(frozen=True, slots=True)
class TestLock:
    """All looks. Together they may err with a chance of `alpha`, of which each of at most `looks` at one set of test
    cases has an equal share. So may the checks of at most `nights` nights on one set of validation cases."""

    __test__ = False

    about: str = _ABOUT
    alpha: float = ALPHA
    looks: int = LOOKS
    entries: tuple[TestLook, ...] = ()
    nights: int = NIGHTS
    baseline: Baseline | None = None
    checks: tuple[NightCheck, ...] = ()

    def number(self, run: str, test: str) -> int:
        """Which look at these test cases the run's is, from 1: its own if it has looked, else the next."""
        mine = [entry for entry in self.entries if entry.test == test and not entry.standin]
        known = [number for number, entry in enumerate(mine, 1) if entry.run == run]
        return known[0] if known else len(mine) + 1

    @property
    def share(self) -> float:
        """What the p value of a look must not exceed."""
        return self.alpha / self.looks

    def night_number(self, night: str, cases: str) -> int:
        """Which check on these validation cases the night's is, from 1: its own if it has one, else the next."""
        mine = [check for check in self.checks if check.cases == cases and not check.standin]
        known = [number for number, check in enumerate(mine, 1) if check.night == night]
        return known[0] if known else len(mine) + 1

    @property
    def night_share(self) -> float:
        """What the p value of a night must not exceed for a fall to count."""
        return self.alpha / self.nights


def read_lock(directory: Path) -> TestLock:
    """The lock beside a pipeline, empty where there is none. Raises UsageError for one that cannot be read."""
    path = directory / LOCK_FILE
    try:
        return parse_lock(path.read_bytes(), path)
    except FileNotFoundError:
        return TestLock()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", path=path) from None


def parse_lock(text: bytes, path: Path | str) -> TestLock:
    """The lock that `text` holds; `path` is for messages. Raises UsageError."""
    try:
        return from_json(TestLock, text)
    except (ValidationError, ValueError) as error:
        detail = " ".join(str(error).split())[:200]
        raise UsageError(f"cannot be read: {detail}; restore it from version control", path=path) from None


def lock_text(lock: TestLock) -> str:
    """A lock as it is written."""
    return json.dumps(to_python(lock), indent=2, ensure_ascii=False) + "\n"


def require_look(directory: Path, *, test: str, run: str = "") -> TestLock:
    """The lock, if it leaves a look at these test cases. Raises UsageError, which says what to do, if not."""
    lock = read_lock(directory)
    if lock.number(run, test) > lock.looks:
        raise UsageError(
            f"these test cases were looked at {lock.looks} times, and can show no more: collect fresh test cases and "
            "put them in place of the old ones",
            path=directory / LOCK_FILE,
        )
    return lock


def open_look(directory: Path, *, run: str, test: str, standin: bool) -> tuple[int, float]:
    """Enter a run's look before test is read; returns its number and its level. Entering it again changes nothing."""
    with held_lock(directory):
        lock = read_lock(directory) if standin else require_look(directory, test=test, run=run)
        number = lock.number(run, test)
        if not any(entry.run == run and entry.test == test for entry in lock.entries):
            look = TestLook(run, test, datetime.now(UTC).isoformat(timespec="seconds"), standin)
            write_lock(directory, replace(lock, entries=(*lock.entries, look)))
        return number, lock.share


def close_look(directory: Path, *, run: str, test: str, p: float, confirmed: bool) -> None:
    """Take down what a look found."""
    with held_lock(directory):
        lock = read_lock(directory)
        entries = tuple(
            replace(entry, p=p, confirmed=confirmed) if (entry.run, entry.test) == (run, test) else entry
            for entry in lock.entries
        )
        if entries != lock.entries:
            write_lock(directory, replace(lock, entries=entries))


def lock_home(pipeline: Path, otherwise: Path) -> Path:
    """Where the lock lies: beside the pipeline, or, where nothing can be written there, in `otherwise`."""
    return pipeline if os.access(pipeline, os.W_OK) else otherwise


def write_lock(directory: Path, lock: TestLock) -> None:
    """Replace the lock; for one who holds it."""
    write_atomic(directory / LOCK_FILE, lock_text(lock))


@contextlib.contextmanager
def held_lock(directory: Path) -> Iterator[None]:
    """One process at a time: two runs must not enter the same look."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
