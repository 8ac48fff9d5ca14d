"""The table of an evaluation's cases: filtered, sorted and read a page at a time from the index."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from fapo.attribution.blame import Blame
from fapo.ui.trace_index import TraceIndex

PAGE = 100
State = Literal["all", "failing", "solved", "failed", "undecided"]

_STATES: dict[str, str] = {
    "all": "1",
    "failing": "value < 1",
    "solved": "value >= 1",
    "failed": "owner = 'pipeline'",
    "undecided": "value IS NULL",
}
SORTS: dict[str, str] = {
    "in order": "position, trial, id",
    "lowest score": "value IS NULL, value, position, id",
    "highest score": "value IS NULL, value DESC, position, id",
    "most expensive": "cost IS NULL, cost DESC, calls DESC, position, id",
    "slowest": "duration DESC, id",
    "most tokens": "coalesce(input_tokens, 0) + coalesce(output_tokens, 0) DESC, id",
    "case id": "case_id, trial",
}


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases are shown, in which order. `step`, `category` and `level` are of whoever is blamed."""

    q: str = ""
    state: State = "all"
    step: str = ""
    category: str = ""
    level: str = ""
    low: float | None = None
    high: float | None = None
    sort: str = "in order"

    @classmethod
    def read(cls, given: dict[str, str]) -> CaseFilter:
        """From the parameters of a URL; what is unknown or malformed filters nothing."""
        texts = {name: given.get(name, "")[:200] for name in ("q", "step", "category", "level")}
        state: Any = given.get("state", "all")
        sort = given.get("sort", "")
        return cls(**texts, state=state if state in get_args(State) else "all", low=_number(given.get("low")),
                   high=_number(given.get("high")), sort=sort if sort in SORTS else "in order")  # fmt: skip

    def parameters(self, **changed: Any) -> dict[str, str]:
        """As parameters of a URL, without what is at its default."""
        values = {field.name: getattr(self, field.name) for field in fields(self)} | changed
        usual = {field.name: field.default for field in fields(self)}
        return {name: str(value) for name, value in values.items() if value != usual.get(name) and value is not None}

    @property
    def is_open(self) -> bool:
        """Whether it shows all cases."""
        return not set(self.parameters()) - {"sort"}


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case as a table shows it, with the blame for most of its loss."""

    sample: int
    case_id: str
    trial: int
    value: float | None
    owner: str | None
    kind: str | None
    calls: int
    cached: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    duration_s: float
    question: str
    answer: str
    step: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a table: those from `start` on, of `total`."""

    rows: tuple[CaseRow, ...]
    start: int
    total: int

    @property
    def next(self) -> int | None:
        end = self.start + len(self.rows)
        return end if self.rows and end < self.total else None


@dataclass(frozen=True, slots=True)
class Facet:
    """Failing samples that a step is blamed for in one category, and the score that they lost."""

    step: str
    category: str
    level: str
    samples: int
    loss: float


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _where(file: int, wanted: CaseFilter) -> tuple[str, list[Any]]:
    parts, values = ["file = ?", _STATES[wanted.state]], [file]  # type: tuple[list[str], list[Any]]
    if wanted.q.strip():
        parts.append("EXISTS (SELECT 1 FROM texts WHERE sample = cases.id AND instr(words, ?))")
        values.append(" ".join(wanted.q.casefold().split()))
    blamed = {"step": wanted.step, "category": wanted.category, "level": wanted.level}
    if any(blamed.values()):
        named = {name: value for name, value in blamed.items() if value}
        test = " AND ".join(f"{name} = ?" for name in named)
        parts.append(f"id IN (SELECT sample FROM blames WHERE file = ? AND {test})")  # noqa: S608
        values += [file, *named.values()]
    if wanted.low is not None:
        parts.append("value >= ?")
        values.append(wanted.low)
    if wanted.high is not None:
        parts.append("value < ?" if wanted.high < 1 else "value <= ?")
        values.append(wanted.high)
    return " AND ".join(parts), values


_COLUMNS = ("id, case_id, trial, value, owner, kind, calls, cached, input_tokens, output_tokens, cost, duration, "
            "question, answer")  # fmt: skip


def read_page(index: TraceIndex, file: int, wanted: CaseFilter, start: int, most: int = PAGE) -> Page:
    """The rows from `start` on."""
    where, values = _where(file, wanted)
    with index.connect() as db:
        total = db.execute(f"SELECT count(*) FROM cases WHERE {where}", values).fetchone()[0]  # noqa: S608
        found = db.execute(f"SELECT {_COLUMNS} FROM cases WHERE {where} ORDER BY {SORTS[wanted.sort]} "  # noqa: S608
                           "LIMIT ? OFFSET ?", [*values, most, start]).fetchall()  # fmt: skip
        rows = []
        for row in found:
            step, category = db.execute(_OF_SAMPLE, row[:1]).fetchone() or ("", "")
            rows.append(replace(CaseRow(*row), step=step, category=category))
    return Page(tuple(rows), start, total)


_OF_SAMPLE = "SELECT step, category FROM blames WHERE sample = ? ORDER BY loss DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample's record is, and its neighbours under a filter, as case and trial."""

    sample: int
    begins: int
    length: int
    number: int
    of: int
    before: tuple[str, int] | None
    after: tuple[str, int] | None


def find_sample(index: TraceIndex, file: int, case: str, trial: int, wanted: CaseFilter) -> Place | None:
    """A case and trial of an evaluation; its neighbours where the filter shows it."""
    with index.connect() as db:
        row = db.execute("SELECT id, begins, length FROM cases WHERE file = ? AND case_id = ? AND trial = ?",
                         (file, case, trial)).fetchone()  # fmt: skip
        if row is None:
            return None
        where, values = _where(file, wanted)
        shown = db.execute(f"SELECT case_id, trial FROM cases WHERE {where} ORDER BY {SORTS[wanted.sort]}",  # noqa: S608
                           values).fetchall()  # fmt: skip
    at = shown.index((case, trial)) if (case, trial) in shown else -1
    before = shown[at - 1] if at > 0 else None
    after = shown[at + 1] if 0 <= at < len(shown) - 1 else None
    return Place(row[0], row[1], row[2], at + 1, len(shown), before, after)


def read_facets(index: TraceIndex, file: int) -> list[Facet]:
    """Who is blamed for what, the largest loss first."""
    with index.connect() as db:
        rows = db.execute("SELECT step, category, min(level), count(DISTINCT sample), sum(loss) FROM blames "
                          "WHERE file = ? GROUP BY step, category ORDER BY sum(loss) DESC", (file,))  # fmt: skip
        return [Facet(*row) for row in rows]


def read_blames(index: TraceIndex, sample: int) -> list[Blame]:
    """Whom a sample's loss is blamed on."""
    with index.connect() as db:
        rows = db.execute("SELECT (SELECT case_id FROM cases WHERE id = sample), nullif(step, '?'), category, level, "
                          "confidence, evidence, loss FROM blames WHERE sample = ? ORDER BY loss DESC",
                          (sample,)).fetchall()  # fmt: skip
    return [Blame(case, step, category, () if level == "unidentified" else (level,), confidence, evidence, loss)
            for case, step, category, level, confidence, evidence, loss in rows]  # fmt: skip
