"""fapo.lock: looks at test are counted over runs, before a case is read, and end."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from fapo.errors import UsageError
from fapo.store.testlock import LOCK_FILE, LOOKS, close_look, lock_home, open_look, read_lock, require_look


def look(directory: Path, run: str, *, test: str = "t1", standin: bool = False) -> tuple[int, float]:
    return open_look(directory, run=run, test=test, standin=standin)


def test_each_run_has_a_look_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    assert look(tmp_path, "a") == (1, 0.05 / LOOKS)
    assert look(tmp_path, "b")[0] == 2
    assert look(tmp_path, "a")[0] == 1
    assert [entry.run for entry in read_lock(tmp_path).entries] == ["a", "b"]


def test_after_the_last_look_fresh_cases_are_asked_for(tmp_path: Path) -> None:
    for number in range(LOOKS):
        look(tmp_path, str(number))
    with pytest.raises(UsageError, match=f"looked at {LOOKS} times.*fresh test cases"):
        look(tmp_path, "one more")
    with pytest.raises(UsageError, match="fresh test cases"):
        require_look(tmp_path, test="t1")
    assert look(tmp_path, "0")[0] == 1
    assert look(tmp_path, "one more", test="fresh")[0] == 1


def test_a_stand_in_uses_nothing_up(tmp_path: Path) -> None:
    for number in range(LOOKS + 2):
        look(tmp_path, str(number), standin=True)
    assert look(tmp_path, "real")[0] == 1


def test_what_a_look_found_is_kept(tmp_path: Path) -> None:
    look(tmp_path, "a")
    close_look(tmp_path, run="a", test="t1", p=0.002, confirmed=True)
    (entry,) = read_lock(tmp_path).entries
    assert (entry.p, entry.confirmed) == (0.002, True)


@pytest.mark.parametrize("text", ["{", '{"entries": [{"run": 1}]}', "\xff"])
def test_a_damaged_lock_is_no_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK_FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="restore it from version control"):
        look(tmp_path, "a")


def test_runs_at_the_same_time_never_share_a_look(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        numbers = pool.starmap(look, [(tmp_path, f"run {number}") for number in range(LOOKS)])
    assert sorted(number for number, _ in numbers) == list(range(1, LOOKS + 1))


def test_a_pipeline_that_cannot_be_written_has_its_lock_elsewhere(tmp_path: Path) -> None:
    assert lock_home(tmp_path, Path("/elsewhere")) == tmp_path
    assert lock_home(tmp_path / "gone", tmp_path) == tmp_path
