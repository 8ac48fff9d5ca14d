"""Follows a run or an evaluation that another process makes, from what it has written so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fapo.evaluation.request import read_cases
from fapo.optimize.events import Entry, State, fold, parse_entry
from fapo.records import CaseRecord
from fapo.report.run_summary import VariantRow
from fapo.store.files import from_json
from fapo.store.run_names import MANIFEST_FILE, TRACES_FILE

_PIECE = 1 << 20
EVALUATIONS = "evaluations"
JOURNAL = "journal.jsonl"


class Tail:
    """The whole lines of a growing file, each once; a file that is not there yet has none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new_lines(self) -> Iterator[bytes]:
        """Lines that have come since the last call, at most about a megabyte of them."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                piece = file.read(_PIECE)
                while piece and b"\n" not in piece and (more := file.read(_PIECE)):
                    piece += more
        except FileNotFoundError:
            return
        end = piece.rfind(b"\n") + 1
        self._offset += end
        yield from piece[:end].split(b"\n")[:-1]


@dataclass(slots=True)
class Progress:
    """How far an evaluation is. `values` holds what has ended, by case and trial, None for what a provider failed."""

    name: str
    of: int
    values: dict[tuple[str, int], float | None] = field(default_factory=dict)
    failures: int = 0

    @property
    def done(self) -> int:
        return sum(value is not None for value in self.values.values())

    @property
    def mean(self) -> float | None:
        decided = [value for value in self.values.values() if value is not None]
        return sum(decided) / len(decided) if decided else None

    def add(self, record: CaseRecord) -> None:
        self.values[record.case_id, record.trial] = record.value
        self.failures += record.failure is not None and record.failure.owner == "pipeline"


class EvaluationFollower:
    """One evaluation as it grows."""

    def __init__(self, directory: Path, trials: int = 1) -> None:
        self.directory = directory
        self._tail = Tail(directory / TRACES_FILE)
        self.progress = Progress(directory.name, len(read_cases(directory) or {}) * trials)

    def poll(self) -> Progress:
        """Take in what has come."""
        for line in self._tail.new_lines():
            self.progress.add(from_json(CaseRecord, line))
        return self.progress


class RunFollower:
    """One optimization as it goes on."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = State()
        self._journal = Tail(directory / JOURNAL)
        self._current: EvaluationFollower | None = None

    def poll(self) -> list[tuple[Entry, State]]:
        """Events that have come since the last call, each with the state after it."""
        found = []
        for line in self._journal.new_lines():
            entry = parse_entry(line)
            self.state = fold(self.state, entry)
            found.append((entry, self.state))
        return found

    def progress(self) -> Progress | None:
        """How far the evaluation is that was written to last; None before the first."""
        latest = _latest(self.directory / EVALUATIONS)
        if latest is None:
            return None
        if self._current is None or self._current.directory != latest:
            self._current = EvaluationFollower(latest)
        return self._current.poll()


def variant_rows(state: State) -> tuple[VariantRow, ...]:
    """What was submitted so far, in order."""
    return tuple(
        VariantRow(a.variant, a.parent, a.level, a.technique, a.step, a.hypothesis, a.verdict, a.reason, a.difference,
                   None if a.difference is None else a.cases, a.review.status if a.review else None)
        for a in state.attempts
    )  # fmt: skip


def _latest(evaluations: Path) -> Path | None:
    newest: tuple[float, Path] | None = None
    for path in evaluations.glob(f"*/{MANIFEST_FILE}"):
        traces = path.with_name(TRACES_FILE)
        try:
            written = traces.stat().st_mtime
        except FileNotFoundError:
            continue
        if newest is None or written > newest[0]:
            newest = written, path.parent
    return newest[1] if newest else None
