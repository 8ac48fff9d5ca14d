"""fapo.lock and nights: old locks still read, nights are counted by their cases, and end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fapo.errors import UsageError
from fapo.store.nightlock import close_check, find_check, merge_locks, open_check, record_baseline, require_night
from fapo.store.testlock import LOCK_FILE, NIGHTS, Baseline, NightCheck, TestLock, TestLook, open_look, read_lock

BASELINE = Baseline(
    "n0", "2026-01-01T00:00:00+00:00", "p", "c1", "s", {"task": "m"}, 1, 0.5, 0.4, 0.6, 2, "0 1", "0.1.0"
)
OLD = {
    "about": "How often the test split was looked at.", "alpha": 0.05, "looks": 5,
    "entries": [{"run": "a", "test": "t", "opened": "2025-12-01T00:00:00+00:00", "standin": False, "p": 0.2,
                 "confirmed": False}],
}  # fmt: skip


def check(directory: Path, night: str, *, cases: str = "c1", standin: bool = False) -> tuple[int, float]:
    return open_check(directory, night=night, baseline=replace(BASELINE, cases=cases), standin=standin)


def test_a_lock_from_before_there_were_nights_is_read_and_kept(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text(json.dumps(OLD))
    assert read_lock(tmp_path).number("b", "t") == 2
    record_baseline(tmp_path, BASELINE)
    assert check(tmp_path, "n1") == (1, 0.05 / NIGHTS)
    kept = read_lock(tmp_path)
    assert [look.run for look in kept.entries] == ["a"]
    assert kept.baseline == BASELINE
    assert open_look(tmp_path, run="b", test="t", standin=False)[0] == 2
    assert read_lock(tmp_path).checks == kept.checks


def test_each_night_has_one_check_and_stand_ins_use_nothing_up(tmp_path: Path) -> None:
    assert [check(tmp_path, night)[0] for night in ("a", "b", "a")] == [1, 2, 1]
    check(tmp_path, "s", standin=True)
    assert check(tmp_path, "c")[0] == 3
    assert check(tmp_path, "d", cases="fresh")[0] == 1


def test_after_the_last_night_fresh_validation_cases_are_asked_for(tmp_path: Path) -> None:
    used = tuple(NightCheck(str(number), "c1", "p", "2026", standin=False) for number in range(NIGHTS))
    (tmp_path / LOCK_FILE).write_text(json.dumps({"checks": [
        {"night": each.night, "cases": "c1", "pipeline": "p", "opened": "2026", "standin": False} for each in used
    ]}))  # fmt: skip
    with pytest.raises(UsageError, match=f"compared in {NIGHTS} nights.*fresh validation cases"):
        check(tmp_path, "one more")
    with pytest.raises(UsageError, match="fresh validation cases"):
        require_night(tmp_path, night="one more", cases="c1")
    assert check(tmp_path, "0")[0] == 1
    assert check(tmp_path, "one more", cases="fresh")[0] == 1


def test_what_a_night_found_takes_the_place_of_its_entry(tmp_path: Path) -> None:
    check(tmp_path, "a")
    opened = find_check(read_lock(tmp_path), night="a", cases="c1")
    assert opened is not None
    close_check(tmp_path, replace(opened, p=0.2, fell=False))
    (kept,) = read_lock(tmp_path).checks
    assert (kept.p, kept.fell) == (0.2, False)


def test_merging_keeps_every_look_the_later_baseline_and_what_is_over() -> None:
    looks = [TestLook(run, "t", f"2026-01-0{day}", False) for day, run in enumerate("abc", 1)]
    one = TestLock(entries=(replace(looks[0], p=0.1, confirmed=False), looks[2]), baseline=BASELINE)
    later = replace(BASELINE, recorded="2026-02-01T00:00:00+00:00")
    other = TestLock(entries=(looks[0], looks[1]), baseline=later, checks=(NightCheck("n", "c", "p", "2026", False),))
    for merged in (merge_locks(one, other), merge_locks(other, one)):
        assert [(look.run, look.p) for look in merged.entries] == [("a", 0.1), ("b", None), ("c", None)]
        assert merged.baseline == later
        assert len(merged.checks) == 1
    assert merge_locks(one, one) == one
