"""An index of traces: where each case begins in its `traces.jsonl`, and what tables are sorted and filtered by.

A SQLite file in the user's cache folder, for all evaluations and all processes. It follows the files as they grow, by
whole lines only, and starts anew with a file that is another by now. It holds nothing that the files do not say.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fapo.attribution.blame import Blame
from fapo.errors import StorageError
from fapo.evaluation.compare import Sample
from fapo.evaluation.evaluate import TRACES_FILE
from fapo.evaluation.request import read_cases
from fapo.records import CaseRecord, Usage
from fapo.store.files import from_json
from fapo.ui.excerpts import search_text, shown_answer, shown_question

VERSION = 1
_BATCH = 1000
_HEAD = 4096

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files(
  id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, inode INTEGER NOT NULL, head TEXT NOT NULL,
  head_bytes INTEGER NOT NULL, indexed INTEGER NOT NULL, damaged INTEGER NOT NULL, judged_by TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS cases(
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL, position INTEGER NOT NULL, case_id TEXT NOT NULL,
  trial INTEGER NOT NULL, begins INTEGER NOT NULL, length INTEGER NOT NULL, value REAL, owner TEXT, kind TEXT,
  calls INTEGER NOT NULL, cached INTEGER NOT NULL, input_tokens INTEGER, output_tokens INTEGER, cost REAL,
  duration REAL NOT NULL, question TEXT NOT NULL, answer TEXT NOT NULL, judged INTEGER NOT NULL DEFAULT 0,
  UNIQUE(file, case_id, trial));
CREATE INDEX IF NOT EXISTS cases_in_order ON cases(file, position, trial, id);
CREATE INDEX IF NOT EXISTS cases_by_value ON cases(file, value, judged);
CREATE TABLE IF NOT EXISTS texts(sample INTEGER PRIMARY KEY, words TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS steps(
  file INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, calls INTEGER NOT NULL, cached INTEGER NOT NULL,
  errors INTEGER NOT NULL, input_tokens INTEGER, output_tokens INTEGER, cost REAL, seconds REAL NOT NULL,
  PRIMARY KEY(file, name, kind));
CREATE TABLE IF NOT EXISTS blames(
  sample INTEGER NOT NULL, file INTEGER NOT NULL, step TEXT NOT NULL, category TEXT NOT NULL, level TEXT NOT NULL,
  confidence TEXT NOT NULL, evidence TEXT NOT NULL, loss REAL NOT NULL);
CREATE INDEX IF NOT EXISTS blames_of_sample ON blames(sample);
CREATE INDEX IF NOT EXISTS blames_by_step ON blames(file, step, category, sample);
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is indexed, bytes; `damaged` lines are not records."""

    indexed: int
    size: int
    damaged: int

    @property
    def done(self) -> bool:
        return self.indexed >= self.size

    @property
    def share(self) -> float:
        return self.indexed / self.size if self.size else 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """An evaluation so far. `failing` scored below 1, failures included; `failed` in the pipeline.

    Of unknown cost or tokens, the sum is None. `bins` counts scores in ten steps from 0 to 1.
    """

    samples: int
    decided: int
    failing: int
    failed: int
    mean: float | None
    usage: Usage
    p50_s: float | None
    p95_s: float | None
    bins: tuple[int, ...]

    @property
    def undecided(self) -> int:
        return self.samples - self.decided

    @property
    def solved(self) -> int:
        return self.decided - self.failing


@dataclass(frozen=True, slots=True)
class StepSums:
    """One step over all cases; None is unknown."""

    name: str
    kind: Literal["llm", "function"]
    calls: int
    cached: int
    errors: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    seconds: float


class TraceIndex:
    """The index at `path`. Each call opens a connection of its own, so that threads and processes may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._figures: dict[int, tuple[int, Figures]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._create()
        except OSError as error:
            raise StorageError.of(path, error) from None

    def _create(self) -> None:
        """Make it, or open it without what is gone; one that is damaged, or another version's, is made anew."""
        try:
            with self.connect() as db:
                known = db.execute("PRAGMA user_version").fetchone()[0]
                if known in (0, VERSION):
                    _set_up(db)
                    return
        except sqlite3.DatabaseError:
            pass
        for name in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm"):
            (self.path.parent / name).unlink(missing_ok=True)
        with self.connect() as db:
            _set_up(db)

    @contextmanager
    def connect(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection; what is written is committed as a whole at the end."""
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous=OFF")  # what a power cut takes is indexed again
            if write:
                db.execute("BEGIN IMMEDIATE")
            yield db
            if write:
                db.execute("COMMIT")
        finally:
            db.close()

    def update(self, directory: Path, seconds: float) -> Progress:
        """Take in what was appended to the traces of an evaluation, for about so many seconds."""
        traces = directory / TRACES_FILE
        if not traces.is_file():
            return Progress(0, 0, 0)
        deadline = time.monotonic() + seconds
        positions: Mapping[str, int] | None = None
        while True:
            now = self._progress(traces)
            if now is not None and now.done:
                return now
            if positions is None:
                positions = {case: number for number, case in enumerate(read_cases(directory) or {})}
            with self.connect(write=True) as db:
                file, indexed = _claim(db, traces)
                end, damaged = _take_batch(db, traces, file, indexed, positions)
                db.execute("UPDATE files SET indexed = ?, damaged = damaged + ? WHERE id = ?", (end, damaged, file))
            if end == indexed or time.monotonic() > deadline:
                found = self._progress(traces)
                assert found is not None
                return found

    def _progress(self, traces: Path) -> Progress | None:
        """None where the file is not known, or is another by now."""
        with self.connect() as db:
            row = _known(db, traces)
        return None if row is None else Progress(row[1], _whole_bytes(traces, row[1]), row[2])

    def file_of(self, directory: Path) -> int:
        """The number of an evaluation in the index; 0 where it has no traces yet."""
        with self.connect() as db:
            row = db.execute("SELECT id FROM files WHERE path = ?", (str(directory / TRACES_FILE),)).fetchone()
        return row[0] if row else 0

    def figures(self, file: int) -> Figures:
        """What the cases indexed so far come to."""
        with self.connect() as db:
            row = db.execute("SELECT indexed FROM files WHERE id = ?", (file,)).fetchone()
            known = self._figures.get(file)
            if row is None or known is None or known[0] != row[0]:
                known = self._figures[file] = (row[0] if row else 0, self._sum_up(db, file))
        return known[1]

    def _sum_up(self, db: sqlite3.Connection, file: int) -> Figures:
        n, decided, failing, failed, mean, calls, cached, tokens_in, tokens_out, cost = db.execute(
            """SELECT count(*), count(value), coalesce(sum(value < 1), 0), coalesce(sum(owner = 'pipeline'), 0),
            avg(value), coalesce(sum(calls), 0), coalesce(sum(cached), 0),
            CASE WHEN count(input_tokens) = count(*) THEN coalesce(sum(input_tokens), 0) END,
            CASE WHEN count(output_tokens) = count(*) THEN coalesce(sum(output_tokens), 0) END,
            CASE WHEN count(cost) = count(*) THEN coalesce(sum(cost), 0.0) END
            FROM cases WHERE file = ?""", (file,)).fetchone()  # fmt: skip
        counts = dict(db.execute("SELECT min(9, CAST(value * 10 AS INTEGER)), count(*) FROM cases "
                                 "WHERE file = ? AND value IS NOT NULL GROUP BY 1", (file,)))  # fmt: skip
        p50, p95 = (_quantile(db, file, decided, share) for share in (0.5, 0.95))
        usage = Usage(calls, cached, tokens_in, tokens_out, cost)
        return Figures(n, decided, failing, failed, mean, usage, p50, p95, tuple(counts.get(k, 0) for k in range(10)))

    def steps(self, file: int) -> list[StepSums]:
        """The steps of a pipeline, in the order in which they were first seen."""
        with self.connect() as db:
            rows = db.execute("SELECT name, kind, calls, cached, errors, input_tokens, output_tokens, cost, seconds "
                              "FROM steps WHERE file = ? ORDER BY rowid", (file,))  # fmt: skip
            return [StepSums(*row) for row in rows]

    def samples(self, file: int) -> dict[tuple[str, int], Sample]:
        """How each case and trial ended, as a comparison wants it."""
        with self.connect() as db:
            rows = db.execute("SELECT case_id, trial, value, owner, calls, cached, input_tokens, output_tokens, cost, "
                              "duration FROM cases WHERE file = ?", (file,))  # fmt: skip
            return {(case, trial): Sample(value, owner == "pipeline", Usage(*usage), duration)
                    for case, trial, value, owner, *usage, duration in rows}  # fmt: skip

    def numbers(self, file: int, condition: str, most: int) -> list[int]:
        """The first `most` samples for which an SQL condition on `cases` holds, in the order of writing."""
        query = f"SELECT id FROM cases WHERE file = ? AND {condition} ORDER BY id LIMIT ?"  # noqa: S608
        with self.connect() as db:
            return [row[0] for row in db.execute(query, (file, most))]

    def read(self, directory: Path, samples: Sequence[int]) -> dict[int, CaseRecord]:
        """The records of these samples, by number."""
        query = "SELECT begins, length FROM cases WHERE id = ?"
        with self.connect() as db:
            places = [(sample, db.execute(query, (sample,)).fetchone()) for sample in samples]
        return {sample: read_record(directory, *place) for sample, place in places}

    def judged_by(self, file: int) -> str:
        with self.connect() as db:
            row = db.execute("SELECT judged_by FROM files WHERE id = ?", (file,)).fetchone()
        return row[0] if row else ""

    def forget_blames(self, file: int, judged_by: str) -> None:
        """Begin blaming anew, by what `judged_by` names."""
        with self.connect(write=True) as db:
            db.execute("DELETE FROM blames WHERE file = ?", (file,))
            db.execute("UPDATE cases SET judged = 0 WHERE file = ?", (file,))
            db.execute("UPDATE files SET judged_by = ? WHERE id = ?", (judged_by, file))

    def add_blames(self, file: int, blames: Mapping[int, list[Blame]]) -> None:
        """Take down whom each sample's loss is blamed on."""
        rows = [(sample, file, b.step or "?", b.category, b.levels[0] if b.levels else "unidentified", b.confidence,
                 b.evidence, b.loss) for sample, found in blames.items() for b in found]  # fmt: skip
        with self.connect(write=True) as db:
            db.executemany("DELETE FROM blames WHERE sample = ?", [(sample,) for sample in blames])
            db.executemany("INSERT INTO blames VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            db.executemany("UPDATE cases SET judged = 1 WHERE id = ?", [(sample,) for sample in blames])

    def waiting(self, file: int) -> int:
        """Failing samples that nobody is blamed for yet."""
        with self.connect() as db:
            found: int = db.execute(
                "SELECT count(*) FROM cases WHERE file = ? AND value < 1 AND judged = 0", (file,)
            ).fetchone()[0]
        return found


def _set_up(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(_SCHEMA)
    db.execute(f"PRAGMA user_version={VERSION}")
    for file, path in db.execute("SELECT id, path FROM files").fetchall():
        if not Path(path).is_file():
            _drop(db, file)


def read_record(directory: Path, begins: int, length: int) -> CaseRecord:
    """The record at these bytes of an evaluation's traces."""
    with (directory / TRACES_FILE).open("rb") as file:
        file.seek(begins)
        return from_json(CaseRecord, file.read(length))


def _known(db: sqlite3.Connection, traces: Path) -> tuple[int, int, int] | None:
    """Number, indexed bytes and damaged lines of a file that is still the one that was indexed."""
    row = db.execute("SELECT id, indexed, damaged, inode, head, head_bytes FROM files WHERE path = ?",
                     (str(traces),)).fetchone()  # fmt: skip
    if row is None:
        return None
    status = traces.stat()
    same = row[3] == status.st_ino and status.st_size >= row[1] and _head(traces, row[5]) == row[4]
    return (row[0], row[1], row[2]) if same else None


def _claim(db: sqlite3.Connection, traces: Path) -> tuple[int, int]:
    """Number and indexed bytes of a file; of a new one, or another than before, nothing is indexed."""
    if (known := _known(db, traces)) is not None:
        if known[1] == 0:
            _note_head(db, known[0], traces)
        return known[0], known[1]
    old = db.execute("SELECT id FROM files WHERE path = ?", (str(traces),)).fetchone()
    if old is not None:
        _drop(db, old[0])
    made = db.execute("INSERT INTO files(path, inode, head, head_bytes, indexed, damaged) VALUES (?, 0, '', 0, 0, 0)",
                      (str(traces),))  # fmt: skip
    assert made.lastrowid is not None
    _note_head(db, made.lastrowid, traces)
    return made.lastrowid, 0


def _note_head(db: sqlite3.Connection, file: int, traces: Path) -> None:
    status = traces.stat()
    with traces.open("rb") as opened:
        first = opened.readline(_HEAD)
    size = len(first) if first.endswith(b"\n") or len(first) == _HEAD else 0
    db.execute("UPDATE files SET inode = ?, head = ?, head_bytes = ? WHERE id = ?",
               (status.st_ino, _head(traces, size), size, file))  # fmt: skip


def _head(traces: Path, size: int) -> str:
    with traces.open("rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


def _drop(db: sqlite3.Connection, file: int) -> None:
    db.execute("DELETE FROM texts WHERE sample IN (SELECT id FROM cases WHERE file = ?)", (file,))
    for table in ("blames", "steps", "cases"):
        db.execute(f"DELETE FROM {table} WHERE file = ?", (file,))  # noqa: S608
    db.execute("DELETE FROM files WHERE id = ?", (file,))


def _whole_bytes(traces: Path, indexed: int) -> int:
    """The size of a file without a torn last line, where all before it is indexed."""
    size = traces.stat().st_size
    if size == indexed:
        return size
    with traces.open("rb") as file:
        file.seek(max(indexed, size - 65536))
        tail = file.read()
    cut = tail.rfind(b"\n")
    return size - len(tail) + cut + 1 if cut >= 0 or size - len(tail) == indexed else size


def _take_batch(
    db: sqlite3.Connection, traces: Path, file: int, begins: int, positions: Mapping[str, int]
) -> tuple[int, int]:
    """Index the next whole lines; returns where the rest begins, and how many of them are no records."""
    damaged = 0
    with traces.open("rb") as opened:
        opened.seek(begins)
        for _ in range(_BATCH):
            line = opened.readline()
            if not line.endswith(b"\n"):
                break
            try:
                _add(db, file, begins, len(line) - 1, from_json(CaseRecord, line), positions)
            except ValidationError:
                damaged += 1
            begins += len(line)
    return begins, damaged


_FIELDS = ("file", "position", "case_id", "trial", "begins", "length", "value", "owner", "kind", "calls", "cached",
           "input_tokens", "output_tokens", "cost", "duration", "question", "answer")  # fmt: skip
_LATER = ", ".join(f"{name} = excluded.{name}" for name in _FIELDS[4:])
_INSERT = f"""INSERT INTO cases({", ".join(_FIELDS)}) VALUES ({", ".join("?" * len(_FIELDS))})
ON CONFLICT(file, case_id, trial) DO UPDATE SET {_LATER}, judged = 0
WHERE excluded.value IS NOT NULL OR cases.value IS NULL RETURNING id"""  # noqa: S608
_ADD_STEP = """INSERT INTO steps VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?)
ON CONFLICT(file, name, kind) DO UPDATE SET calls = calls + 1, cached = cached + excluded.cached,
errors = errors + excluded.errors, input_tokens = input_tokens + excluded.input_tokens,
output_tokens = output_tokens + excluded.output_tokens, cost = cost + excluded.cost,
seconds = seconds + excluded.seconds"""


def _add(
    db: sqlite3.Connection, file: int, begins: int, length: int, record: CaseRecord, positions: Mapping[str, int]
) -> None:
    usage, failure = record.usage, record.failure
    owner, kind = (failure.owner, failure.kind) if failure else (None, None)
    row = db.execute(_INSERT, (
        file, positions.get(record.case_id, len(positions)), record.case_id, record.trial, begins, length, record.value,
        owner, kind,
        usage.llm_calls, usage.cached_calls, usage.input_tokens, usage.output_tokens, usage.cost_usd, record.duration_s,
        shown_question(record), shown_answer(record),
    )).fetchone()  # fmt: skip
    if row is not None:
        db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (row[0], search_text(record)))
        db.execute("DELETE FROM blames WHERE sample = ?", row)
    for step in record.steps:
        used = step.usage
        db.execute(_ADD_STEP, (file, step.name, step.kind, step.cached, step.error is not None, used.input_tokens,
                               used.output_tokens, used.cost_usd, step.duration_s))  # fmt: skip


def _quantile(db: sqlite3.Connection, file: int, decided: int, share: float) -> float | None:
    """The nearest-rank quantile of the seconds that decided cases took."""
    rank = max(0, -(-int(decided * share * 1000) // 1000) - 1)
    row = db.execute("SELECT duration FROM cases WHERE file = ? AND value IS NOT NULL ORDER BY duration LIMIT 1 "
                     "OFFSET ?", (file, rank)).fetchone()  # fmt: skip
    return row[0] if row else None
