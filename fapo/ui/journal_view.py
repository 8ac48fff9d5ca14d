"""A run as its page shows it: the journal folded into figures, variants and lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from fapo.optimize.events import (
    Attempt,
    Decided,
    Entry,
    Evaluated,
    Event,
    Finished,
    Learned,
    LevelOpened,
    NoiseFloor,
    OpenedTest,
    Refused,
    Replayed,
    Reviewed,
    SearchEnded,
    SessionEnded,
    SessionStarted,
    Started,
    State,
    Submitted,
)
from fapo.records import BASELINE

Tone = Literal["plain", "good", "bad", "warn", "strong"]
_ENTRY = TypeAdapter(Entry)


@dataclass(frozen=True, slots=True)
class Line:
    """One event as a person reads it. `end` is where the next line of the journal begins, bytes."""

    time: float
    tone: Tone
    subject: str
    text: str
    variant: str
    end: int


@dataclass(frozen=True, slots=True)
class Point:
    """One variant in the chart. `value` is its mean on validation; of one that a race stopped, its difference to the
    variant that it was compared with, added to that one's mean.
    """

    variant: str
    value: float
    estimated: bool
    verdict: str
    label: str
    best: float


def read_journal(path: Path, start: int = 0) -> tuple[list[Entry], list[int]]:
    """The entries from byte `start` on, without a torn last line, and where each ends.

    Lines that are no events of this version are passed over.
    """
    entries, ends = [], []
    if not path.is_file():
        return [], []
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                break
            start += len(line)
            try:
                entries.append(_ENTRY.validate_json(line))
                ends.append(start)
            except ValidationError:
                continue
    return entries, ends


def lines_of(entries: Sequence[Entry], ends: Sequence[int]) -> list[Line]:
    """What is to be told of these events."""
    return [line for entry, end in zip(entries, ends, strict=True) if (line := _line(entry, end)) is not None]


def _line(entry: Entry, end: int) -> Line | None:
    told = _tell(entry.event)
    if told is None:
        return None
    tone, subject, text = told
    variant = str(getattr(entry.event, "variant", ""))
    return Line(entry.time, tone, subject, text, variant if variant.isdigit() else "", end)


def _tell(event: Event) -> tuple[Tone, str, str] | None:
    match event:
        case Started():
            return "strong", "run", "began"
        case SessionStarted() as e:
            return "plain", "agent", f"session {e.session} begins"
        case SessionEnded() as e:
            error = f": {e.error}" if e.error else ""
            return "warn" if e.error else "plain", "agent", f"session {e.session} ended ({e.status}{error})"
        case Evaluated() as e if e.variant.startswith("draft-"):
            return "plain", "draft", f"the agent tries it on {e.n} {e.split} cases: mean {e.mean:.3f}"
        case Evaluated() as e:
            failed = f", {e.failures} failed" if e.failures else ""
            arm = ", second arm" if e.trial else ""
            return "plain", e.variant, f"{e.split}{arm}: mean {e.mean:.3f} on {e.n} of {e.of} cases{failed}"
        case NoiseFloor() as e:
            return "plain", "noise floor", f"two runs of the baseline differ on {e.discordant:.0%} of {e.n} cases"
        case Submitted() as e:
            return "strong", e.variant, f"submitted ({e.level}, {e.technique} at {e.step}): {e.hypothesis}"
        case Decided() as e:
            return "good" if e.verdict == "accepted" else "bad", e.variant, f"{e.verdict}: {e.reason}"
        case Refused() as e:
            return "warn", e.variant, f"turned down before it cost anything: {e.reason}"
        case _:
            return _tell_more(event)


def _tell_more(event: Event) -> tuple[Tone, str, str] | None:
    match event:
        case Reviewed(status="pass") as e:
            return "plain", e.variant, "the reviewer has no objection"
        case Reviewed() as e:
            return "warn", e.variant, f"reviewer: {e.status} ({e.check or 'no check'}): {e.reason}"
        case Replayed() as e:
            shares = ", ".join(f"{level} {share:.0%}" for level, share in e.by_level.items())
            return "plain", e.variant, f"{e.cases} failing cases replayed; loss by level: {shares}"
        case Learned() as e:
            return "plain", e.variant, f"the agent learned: {e.lesson}"
        case LevelOpened() as e:
            return "strong", f"level {e.level}", f"opened: {e.why}"
        case SearchEnded() as e:
            return "strong", "search", f"ended ({e.status}): {e.why}"
        case OpenedTest() as e:
            return "strong", "test", f"opened, once, for {' and '.join(e.variants)}"
        case Finished() as e:
            return "good" if e.status == "improved" else "strong", "run", f"finished: {e.status.replace('_', ' ')}"
        case _:
            return None


def chart(state: State) -> list[Point]:
    """The variants that validation was asked about, in order, after the baseline."""
    first = state.evaluated(BASELINE, "validation")
    if first is None:
        return []
    values = {BASELINE: first.mean}
    best = first.mean
    points = [Point(BASELINE, first.mean, False, "baseline", "the pipeline as it was", best)]
    for attempt in state.attempts:
        done = state.evaluated(attempt.variant, "validation")
        if done is None:
            continue
        value, estimated = done.mean, done.n < done.of
        if estimated:
            if attempt.difference is None or attempt.parent not in values:
                continue
            value = min(1.0, max(0.0, values[attempt.parent] + attempt.difference))
        values[attempt.variant] = value
        if attempt.verdict == "accepted":
            best = value
        label = f"{attempt.technique} at {attempt.step}"
        points.append(Point(attempt.variant, value, estimated, attempt.verdict or "open", label, best))
    return points


@dataclass(frozen=True, slots=True)
class TreeRow:
    """An attempt with its depth below the baseline."""

    attempt: Attempt
    depth: int
    mean: float | None
    on_line: bool
    """Whether the incumbent is this variant or descends from it."""


def tree(state: State) -> list[TreeRow]:
    """The attempts in order of submission, each with how many accepted changes lie beneath it."""
    depths: dict[str, int] = {BASELINE: 0}
    line = set(state.line)
    rows = []
    for attempt in state.attempts:
        depths.setdefault(attempt.variant, depths.get(attempt.parent, 0) + 1)
        done = state.evaluated(attempt.variant, "validation")
        mean = done.mean if done is not None and done.n == done.of else None
        rows.append(TreeRow(attempt, depths[attempt.variant], mean, attempt.variant in line))
    return rows


def decisions(path: Path, variant: str) -> Iterator[Decided | Submitted]:
    """What the journal says of one variant beside its attempt: numbers of its look and of its verdict."""
    for entry in read_journal(path)[0]:
        event: Any = entry.event
        if isinstance(event, Decided | Submitted) and event.variant == variant:
            yield event
