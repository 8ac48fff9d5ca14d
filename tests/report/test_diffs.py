"""Side by side stands what belongs together, and what is not shown is said."""

from __future__ import annotations

import random

from fapo.report.diffs import MOST_LINES, MOST_ROWS, DiffRow, FileDiff, Span, side_by_side


def diff(old: str, new: str) -> FileDiff:
    (found,) = side_by_side({"a.py": old.encode()}, {"a.py": new.encode()})
    return found


def text(spans: tuple[Span, ...] | None) -> str:
    return "" if spans is None else "".join(span.text for span in spans)


def shown(rows: tuple[DiffRow, ...]) -> list[tuple[str, int | None, str, int | None, str]]:
    return [(row.kind, row.old_number, text(row.old), row.new_number, text(row.new)) for row in rows]


def test_a_changed_line_stands_beside_what_it_was_and_marks_the_words() -> None:
    found = diff("a\nanswer = ask(facts)\nz\n", "a\nanswer = ask(facts, shown)\nz\n")
    assert shown(found.rows) == [
        ("equal", 1, "a", 1, "a"),
        ("changed", 2, "answer = ask(facts)", 2, "answer = ask(facts, shown)"),
        ("equal", 3, "z", 3, "z"),
    ]
    row = found.rows[1]
    assert row.old is not None
    assert row.new is not None
    assert not any(span.changed for span in row.old)
    assert [span.text for span in row.new if span.changed] == [", shown"]
    assert (found.added, found.removed) == (1, 1)


def test_a_line_stands_beside_the_one_of_several_that_it_became() -> None:
    found = diff("answer = ask(facts)\n", "query = join(a, b)\nseen = search(query, 7)\nanswer = ask(facts, seen)\n")
    assert [row[0] for row in shown(found.rows)] == ["added", "added", "changed"]
    assert shown(found.rows)[2][1:] == (1, "answer = ask(facts)", 3, "answer = ask(facts, seen)")


def test_lines_that_have_nothing_in_common_stand_alone() -> None:
    found = diff("import csv\n", "return 7\n")
    assert shown(found.rows) == [("removed", 1, "import csv", None, ""), ("added", None, "", 1, "return 7")]


def test_equal_lines_far_from_a_change_become_a_gap() -> None:
    lines = [f"line {number}\n" for number in range(60)]
    found = diff("".join(lines), "".join([*lines[:30], "new\n", *lines[30:]]))
    assert [(row.kind, row.skipped) for row in found.rows if row.kind != "equal"] == [
        ("gap", 27), ("added", 0), ("gap", 27),
    ]  # fmt: skip


def test_both_versions_can_be_read_back_from_the_rows() -> None:
    dice = random.Random(3)
    words = "ask answer facts shown seven".split()
    for _ in range(60):
        old = [" ".join(dice.choices(words, k=3)) for _ in range(dice.randint(1, 12))]
        new = [line for line in old if dice.random() < 0.7]
        for _ in range(dice.randint(0, 4)):
            new.insert(dice.randint(0, len(new)), " ".join(dice.choices(words, k=4)))
        if old == new:
            continue
        rows = diff("\n".join(old) + "\n", "\n".join(new) + "\n").rows
        sides = [(row.old_number, text(row.old)) for row in rows if row.old is not None]
        assert all(old[number - 1] == line for number, line in sides if number)
        assert [number for number, _ in sides] == sorted(number for number, _ in sides if number)
        kept = {row.new_number: text(row.new) for row in rows if row.new is not None}
        hidden = sum(row.skipped for row in rows)
        assert len(kept) + hidden == len(new)
        assert all(new[number - 1] == line for number, line in kept.items() if number)


def test_new_and_removed_files_and_bytes_are_named() -> None:
    old = {"prompts/gone.md": b"a\n", "r.bin": b"\0\1", "same.py": b"x"}
    new = {"prompts/new.md": b"b\n", "r.bin": b"\0\2\3", "same.py": b"x", "z.py": b"y\n"}
    found = {each.path: each for each in side_by_side(old, new)}
    assert list(found) == ["prompts/gone.md", "prompts/new.md", "z.py", "r.bin"]
    assert (found["prompts/gone.md"].status, found["prompts/new.md"].status) == ("removed", "new")
    assert found["r.bin"].note == "not text: 2 bytes, now 3"


def test_a_huge_file_is_not_compared_and_a_long_change_is_cut() -> None:
    assert "too long" in diff("a\n" * MOST_LINES, "b\n").note
    found = diff("", "".join(f"{number}\n" for number in range(MOST_ROWS + 40)))
    assert len(found.rows) == MOST_ROWS
    assert found.note == "40 more rows are left out"
    assert found.added == MOST_ROWS + 40
