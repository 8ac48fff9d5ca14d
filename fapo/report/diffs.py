"""Two versions of a pipeline side by side: rows of lines that belong together, with what differs inside of a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

RowKind = Literal["equal", "changed", "removed", "added", "gap"]
FileStatus = Literal["changed", "new", "removed"]
CONTEXT = 3
"""Equal lines that are shown before and after a change."""
MOST_LINES = 4000
"""Lines of a file, both versions together, up to which it is compared line by line."""
MOST_ROWS = 600
"""Rows of one file that are shown."""
_ALIKE = 0.5
"""How much of two lines has to agree for them to be shown as one line that changed."""
_MOST_PAIRS = 2500
"""Pairs of lines of one change up to which it is tried out which belong together."""
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a line. `changed` says that the other version has something else there."""

    text: str
    changed: bool


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One row. A missing side is None; `number` counts the lines of its version from 1.

    The `gap` stands for `skipped` equal lines.
    """

    kind: RowKind
    old_number: int | None = None
    old: tuple[Span, ...] | None = None
    new_number: int | None = None
    new: tuple[Span, ...] | None = None
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One file that differs. `note` says why not all of it is shown, if so."""

    path: str
    status: FileStatus
    added: int
    removed: int
    rows: tuple[DiffRow, ...]
    note: str = ""


def side_by_side(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> tuple[FileDiff, ...]:
    """The files that differ, by POSIX path: prompts first, then code, then the rest."""
    paths = (path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return tuple(_file(path, old.get(path), new.get(path)) for path in sorted(paths, key=_rank))


def _rank(path: str) -> tuple[int, str]:
    return (0 if path.startswith("prompts/") else 1 if path.endswith(".py") else 2), path


def _file(path: str, before: bytes | None, after: bytes | None) -> FileDiff:
    status: FileStatus = "new" if before is None else "removed" if after is None else "changed"
    texts = [_text(content or b"") for content in (before, after)]
    if texts[0] is None or texts[1] is None:
        return FileDiff(path, status, 0, 0, (), f"not text: {len(before or b''):,} bytes, now {len(after or b''):,}")
    a, b = texts[0].splitlines(), texts[1].splitlines()
    if len(a) + len(b) > MOST_LINES:
        return FileDiff(path, status, len(b), len(a), (), f"too long to be shown: {len(a):,} lines, now {len(b):,}")
    rows = list(_rows(a, b))
    added = sum(row.kind in ("added", "changed") for row in rows)
    removed = sum(row.kind in ("removed", "changed") for row in rows)
    note = f"{len(rows) - MOST_ROWS:,} more rows are left out" if len(rows) > MOST_ROWS else ""
    if not rows:
        note = "only line ends differ"
    return FileDiff(path, status, added, removed, tuple(rows[:MOST_ROWS]), note)


def _text(content: bytes) -> str | None:
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _rows(a: Sequence[str], b: Sequence[str]) -> Iterator[DiffRow]:
    shown = 0
    for group in SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(CONTEXT):
        if (skipped := group[0][1] - shown) > 0:
            yield DiffRow("gap", skipped=skipped)
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (_equal(i + 1, a[i], j + 1, b[j]) for i, j in zip(range(i1, i2), range(j1, j2), strict=True))
            else:
                yield from _change(a, range(i1, i2), b, range(j1, j2))
        shown = group[-1][2]
    if 0 < shown < len(a):
        yield DiffRow("gap", skipped=len(a) - shown)


def _equal(i: int, old: str, j: int, new: str) -> DiffRow:
    return DiffRow("equal", i, (Span(old, False),), j, (Span(new, False),))


def _change(a: Sequence[str], old: range, b: Sequence[str], new: range) -> Iterator[DiffRow]:
    """Lines that are alike side by side; the others as removed or added."""
    i, j = old.start, new.start
    for left, right in [*_pairs(a, old, b, new), (old.stop, new.stop)]:
        yield from (DiffRow("removed", k + 1, (Span(a[k], False),)) for k in range(i, left))
        yield from (DiffRow("added", None, None, k + 1, (Span(b[k], False),)) for k in range(j, right))
        if left < old.stop and right < new.stop:
            before, after = _spans(a[left], b[right])
            yield DiffRow("changed", left + 1, before, right + 1, after)
        i, j = left + 1, right + 1


def _pairs(a: Sequence[str], old: range, b: Sequence[str], new: range) -> list[tuple[int, int]]:
    """The pairs of lines, in order, that are alike enough and most alike in sum: an alignment."""
    if len(old) * len(new) > _MOST_PAIRS:
        return []
    alike = [[_likeness(a[i], b[j]) for j in new] for i in old]
    best = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + alike[i][j])
    found: list[tuple[int, int]] = []
    i = j = 0
    while i < len(old) and j < len(new):
        if alike[i][j] and best[i][j] == best[i + 1][j + 1] + alike[i][j]:
            found.append((old[i], new[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _likeness(old: str, new: str) -> float:
    """The share of words that two lines have in common, in order; 0 where that is too little."""
    a, b = ([word for word in _WORDS.findall(line) if not word.isspace()] for line in (old, new))
    share = SequenceMatcher(None, a, b, autojunk=False).ratio()
    return share if share >= _ALIKE else 0.0


def _spans(old: str, new: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    a, b = _WORDS.findall(old), _WORDS.findall(new)
    left: list[Span] = []
    right: list[Span] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if i2 > i1:
            left.append(Span("".join(a[i1:i2]), tag != "equal"))
        if j2 > j1:
            right.append(Span("".join(b[j1:j2]), tag != "equal"))
    return tuple(left), tuple(right)
