"""`fapo compare` and `fapo cache` as a person and as a program use them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from fapo.llm.cache import ReplyCache
from fapo.records import ModelReply
from tests.support.arms import CACHED, scored, write_arm
from tests.support.command import FAPO, Done, environment, fapo

WIDTH = 80


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a` and `b` differ by chance; `better` is so beyond it."""
    folder = tmp_path_factory.mktemp("arms")
    write_arm(folder / "a", scored("0000000000" + "11111" + "f"))
    write_arm(folder / "b", scored("1000000000" + "11110" + "f"))
    write_arm(folder / "better", scored("1111111111" + "11110" + "1"))
    write_arm(folder / "cached", scored("1000000000" + "11110" + "f"), usage=CACHED)
    write_arm(folder / "test", scored("0" * 16), split="test")
    return folder


# -- compare


def test_a_person_reads_the_verdict_first_and_then_both_sides(arms: Path) -> None:
    done = fapo(arms, "compare", "a", "better")
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "B is better than A, by more than chance explains." in lines
    assert "B - A: +62.5 points (95 % interval" in done.out
    rows = {line[:26].strip(): line[26:].split() for line in lines}
    assert rows["mean score"][0] == "0.312"
    assert rows["failed in the pipeline"] == ["1", "0", "-1"]
    assert rows["cost"] == ["$0.1600", "$0.1600", "$0.00"]
    assert "11 cases won, 1 lost, 4 tied" in lines


def test_changed_cases_are_listed_all_of_them_if_asked(arms: Path) -> None:
    some, every = fapo(arms, "compare", "a", "better").out, fapo(arms, "compare", "a", "better", "--all").out
    assert "and 6 more: --all" in some
    assert "case-9 " not in some
    assert "case-9 " in every
    assert "more: --all" not in every
    assert some.index("won by B") < some.index("case-0") < some.index("lost by B") < some.index("case-14")


def test_what_may_be_chance_is_called_so(arms: Path) -> None:
    assert "No difference is shown: what there is may be chance." in fapo(arms, "compare", "a", "b").out


def test_worse_is_called_worse(arms: Path) -> None:
    assert "B is worse than A, by more than chance explains." in fapo(arms, "compare", "better", "a").out


def test_cached_replies_are_said_to_make_costs_incomparable(arms: Path) -> None:
    assert "some replies came from the cache" in fapo(arms, "compare", "a", "cached").out
    assert "came from the cache" not in fapo(arms, "compare", "a", "b").out


def test_a_program_reads_one_object(arms: Path) -> None:
    found = fapo(arms, "compare", "a/traces.jsonl", "better", "--json").json
    assert set(found) == {
        "split", "score", "a", "b", "difference", "clusters", "detectable", "won", "lost", "left_out", "notes"
    }  # fmt: skip
    assert set(found["difference"]) == {"mean", "ci95", "p", "n", "won", "lost", "tied"}
    assert found["difference"]["mean"] == pytest.approx(0.625)
    assert found["difference"]["p"] == pytest.approx(2 * 13 / 2**12)
    assert (found["a"]["failures"], found["b"]["failures"]) == (1, 0)
    assert set(found["b"]["score"]) == {"mean", "ci95", "n"}
    assert found["b"]["evaluation_dir"] == "better"
    assert len(found["won"]) == 11
    assert found["lost"] == [{"case_id": "case-14", "a": 1.0, "b": 0.0}]


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("a", "test", "not comparable: A ran on validation, B on test"),
        ("a", "a", "A and B are the same evaluation"),
        ("a", "nowhere", "nowhere: no such evaluation, and none in"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_code_2(arms: Path, a: str, b: str, words: str) -> None:
    done = fapo(arms, "compare", a, b)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert words in done.err


# -- cache


def fill(folder: Path, replies: int = 3) -> Path:
    path = folder / "cache" / "replies.sqlite"
    cache = ReplyCache(path)
    for number in range(replies):
        cache.put(bytes([number]), ModelReply("x" * 1000, "openai/m", "stop", 1, 1, 0.0, 0.1))
    cache.close()
    return path


def ask(folder: Path, *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> Done:
    done = subprocess.run(
        [*FAPO, "cache", *arguments], capture_output=True, text=True, env=environment(folder), stdin=stdin,
        check=False, timeout=60,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def entries(folder: Path) -> int:
    found = ask(folder, "info", "--json").json["entries"]
    assert isinstance(found, int)
    return found


def test_info_says_where_the_replies_are_and_what_they_fill(tmp_path: Path) -> None:
    path = fill(tmp_path)
    found = ask(tmp_path, "info", "--json").json
    assert (found["path"], found["entries"]) == (str(path), 3)
    assert 3000 < found["bytes"] < found["limit_bytes"]
    shown = ask(tmp_path, "info").out
    assert str(path) in shown
    assert "3 replies" in shown


def test_a_cache_that_was_never_used_is_empty_and_is_not_made(tmp_path: Path) -> None:
    assert ask(tmp_path, "info", "--json").json["entries"] == 0
    assert ask(tmp_path, "clear", "--json").json["cleared"] == 0
    assert not (tmp_path / "cache").exists()


def test_clear_forgets_every_reply_and_says_how_many(tmp_path: Path) -> None:
    path = fill(tmp_path)
    done = ask(tmp_path, "clear", "--yes", "--json")
    assert json.loads(done.out) == {"path": str(path), "cleared": 3}
    assert entries(tmp_path) == 0


def test_where_nobody_can_be_asked_it_takes_a_yes(tmp_path: Path) -> None:
    fill(tmp_path)
    done = ask(tmp_path, "clear")
    assert (done.code, done.out) == (2, "")
    assert "--yes" in done.err
    assert entries(tmp_path) == 3


@pytest.fixture
def terminal() -> Iterator[tuple[int, IO[bytes]]]:
    """Where to type, and the terminal that reads it."""
    keyboard, screen = os.openpty()
    with os.fdopen(screen, "rb", buffering=0) as file:
        yield keyboard, file
    os.close(keyboard)


@pytest.mark.parametrize(("answer", "left", "code"), [(b"y\n", 0, 0), (b"n\n", 3, 1), (b"\n", 3, 1)])
def test_on_a_terminal_it_asks(
    tmp_path: Path, terminal: tuple[int, IO[bytes]], answer: bytes, left: int, code: int
) -> None:
    fill(tmp_path)
    keyboard, screen = terminal
    os.write(keyboard, answer)
    done = ask(tmp_path, "clear", stdin=screen)
    assert "Forget 3 replies" in done.err
    assert (done.code, entries(tmp_path)) == (code, left)


@pytest.mark.parametrize("command", [("info",), ("clear", "--yes")])
def test_a_damaged_file_is_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = fill(tmp_path)
    path.write_bytes(b"this is no database" * 100)
    done = ask(tmp_path, *command)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert f"{path}: the reply cache is damaged" in done.err


@pytest.mark.parametrize("command", [("info",), ("clear", "--yes")])
def test_a_file_that_another_process_locks_is_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = fill(tmp_path)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        done = ask(tmp_path, *command)
    finally:
        other.close()
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert "locks it" in done.err
