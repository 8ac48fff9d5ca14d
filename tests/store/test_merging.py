"""Three-way merges of snapshots: both changes are made, and what overlaps is left to its author."""

from __future__ import annotations

import pytest

from fapo.store.merging import merge

BASE = {"a.md": b"one\ntwo\nthree\nfour\nfive\n", "b.py": b"x = 1\n", "c.tsv": b"\0\1"}


def test_changes_of_other_lines_and_files_are_put_together() -> None:
    ours = BASE | {"a.md": b"ONE\ntwo\nthree\nfour\nfive\n", "new.md": b"n\n"}
    theirs = BASE | {"a.md": b"one\ntwo\nthree\nfour\nFIVE\n", "b.py": b"x = 2\n"}
    merged = merge(BASE, ours, theirs)
    assert merged.conflicts == ()
    assert merged.snapshot == {
        "a.md": b"ONE\ntwo\nthree\nfour\nFIVE\n", "b.py": b"x = 2\n", "c.tsv": b"\0\1", "new.md": b"n\n",
    }  # fmt: skip


def test_the_same_change_on_both_sides_is_no_conflict() -> None:
    changed = BASE | {"b.py": b"x = 2\n"}
    assert merge(BASE, changed, changed).snapshot == changed


def test_a_file_that_one_side_removes_is_gone() -> None:
    without = {path: content for path, content in BASE.items() if path != "b.py"}
    assert merge(BASE, BASE, without).snapshot == merge(BASE, without, BASE).snapshot == without


@pytest.mark.parametrize(
    ("path", "our", "their"),
    [
        ("a.md", b"one\n2\nthree\nfour\nfive\n", b"one\nII\nthree\nfour\nfive\n"),
        ("b.py", b"x = 2\n", None),
        ("b.py", None, b"x = 2\n"),
        ("c.tsv", b"\0\2", b"\0\3"),
        ("new.md", b"mine\n", b"yours\n"),
    ],
)
def test_what_overlaps_stays_as_ours_and_is_named(path: str, our: bytes | None, their: bytes | None) -> None:
    def side(content: bytes | None) -> dict[str, bytes]:
        rest = {each: kept for each, kept in BASE.items() if each != path}
        return rest if content is None else rest | {path: content}

    merged = merge(BASE, side(our), side(their))
    assert merged.conflicts == (path,)
    assert merged.snapshot == side(our)
