"""A journal as the page of a run shows it: lines, the chart's points, the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from fapo.optimize.events import Decided, Evaluated, Event, Journal, Learned, Refused, Started, Submitted, replay
from fapo.records import Usage
from fapo.ui.journal_view import chart, lines_of, read_journal, tree
from fapo.ui.trace_view import clean, pair_steps, view_trace
from tests.support.traces import record


def evaluated(variant: str, mean: float, n: int = 100) -> Evaluated:
    return Evaluated(variant, "validation", None, mean, n, 0, Usage(), "full", Usage(), 100)


def submitted(variant: str, parent: str) -> Submitted:
    return Submitted(variant, parent, "0", "prompt", "it helps", "a technique", "ask", 1, 2, 1.0)


def decided(variant: str, verdict: str, difference: float) -> Decided:
    accepted = verdict == "accepted"
    return Decided(variant, "accepted" if accepted else "rejected", "for a reason", "told", difference, 0.01, 0.05,
                   "gain" if accepted else None)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    events: list[Event] = [
        Started(), evaluated("000", 0.5),
        submitted("001", "000"), evaluated("001", 0.6), decided("001", "accepted", 0.1),
        Refused("002", "001", "structure", "no", "cheat", "ask", "a case id in a prompt"),
        submitted("003", "001"), evaluated("003", 0.9, 20), decided("003", "rejected", -0.05),
        Learned("003", "shorter is not better"),
        submitted("004", "001"), evaluated("004", 0.1, 10),
    ]  # fmt: skip
    journal = Journal(tmp_path / "journal.jsonl")
    for event in events:
        journal.append(event)
    journal.close()
    return tmp_path / "journal.jsonl"


def test_a_raced_variant_stands_where_its_difference_puts_it_and_an_open_one_nowhere(path: Path) -> None:
    points = {point.variant: point for point in chart(replay(read_journal(path)[0]))}
    assert list(points) == ["000", "001", "003"]
    assert points["003"].value == pytest.approx(0.55)
    assert (points["003"].estimated, points["001"].estimated) == (True, False)
    assert [point.best for point in points.values()] == [0.5, 0.6, 0.6]


def test_the_tree_says_what_stands_on_what(path: Path) -> None:
    rows = {row.attempt.variant: row for row in tree(replay(read_journal(path)[0]))}
    assert {variant: row.depth for variant, row in rows.items()} == {"001": 1, "002": 2, "003": 2, "004": 2}
    assert [variant for variant, row in rows.items() if row.on_line] == ["001"]
    assert rows["003"].mean is None


def test_lines_are_numbered_by_where_they_end(path: Path) -> None:
    entries, ends = read_journal(path)
    lines = lines_of(entries, ends)
    assert lines[-1].end == path.stat().st_size
    again, _ = read_journal(path, lines[2].end)
    assert again == entries[3:]
    assert [line.tone for line in lines if line.variant in ("001", "003") and "reason" in line.text] == ["good", "bad"]


def test_events_of_another_version_and_a_torn_end_are_passed_over(path: Path) -> None:
    known = read_journal(path)[0]
    with path.open("ab") as file:
        file.write(b'{"time": 1, "event": {"event": "from the future"}}\n{"time": 2, "ev')
    assert read_journal(path)[0] == known
    assert read_journal(path.parent / "none.jsonl") == ([], [])


def test_steps_of_two_traces_are_paired_by_name_and_turn() -> None:
    a, b = record("x", output="one"), record("x", output="two")
    twice = record("x", output="two", steps=(*b.steps, b.steps[0]))
    pairs = pair_steps(a, twice)
    assert [(pair.name, pair.a is None, pair.is_same) for pair in pairs] == [
        ("ask", False, False), ("parse", False, False), ("ask", True, False),
    ]  # fmt: skip
    assert pair_steps(None, a)[0].texts == ("", "one")


def test_a_trace_without_case_or_steps_can_be_shown() -> None:
    view = view_trace(record("x", None, steps=(), duration_s=0.0), None, ())
    assert (view.steps, view.expected, view.prediction) == ((), None, None)


def test_signs_that_hide_or_turn_text_are_replaced() -> None:
    assert clean("a\x00b\u202ec\ud800") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c?"
