"""The reply cache: what was paid for is found again, by any process, through kills and damage."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fapo.errors import UsageError
from fapo.llm.cache import ReplyCache
from fapo.records import ModelReply

REPLY = ModelReply("hello ✓", "openai/m", "stop", 10, None, None, 0.5)
DAY_S = 86_400.0


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    opened = ReplyCache(tmp_path / "replies.sqlite")
    yield opened
    opened.close()


def test_a_reply_comes_back_as_it_was_and_says_that_it_is_cached(cache: ReplyCache) -> None:
    cache.put(b"a", REPLY)
    assert cache.get(b"a") == ModelReply("hello ✓", "openai/m", "stop", 10, None, None, 0.5, cached=True)
    assert cache.get(b"b") is None


def test_how_long_a_call_was_held_is_not_kept(cache: ReplyCache) -> None:
    cache.put(b"a", ModelReply("hello", "openai/m", "stop", 10, 5, 0.1, 0.5, held_s=60.0))
    found = cache.get(b"a")
    assert found is not None
    assert found.held_s == 0.0


def test_replies_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "new" / "replies.sqlite"
    first = ReplyCache(path)
    first.put(b"a", REPLY)
    first.close()
    second = ReplyCache(path)
    assert second.get(b"a") is not None
    second.close()


def test_clearing_forgets_everything(cache: ReplyCache) -> None:
    for number in range(100):
        cache.put(bytes([number]), REPLY)
    filled = cache.info()
    cache.clear()
    assert filled.entries == 100
    assert cache.info().entries == 0
    assert cache.info().bytes <= filled.bytes
    assert cache.get(b"\x01") is None


def test_only_the_user_may_read_it(cache: ReplyCache) -> None:
    cache.put(b"a", REPLY)
    assert {path.stat().st_mode & 0o077 for path in cache.path.parent.glob("replies.sqlite*")} == {0}


def test_beyond_its_size_the_least_recently_used_go(tmp_path: Path) -> None:
    now = [0.0]
    cache = ReplyCache(tmp_path / "replies.sqlite", max_bytes=100_000, now=lambda: now[0])
    big = ModelReply("x" * 2000, "openai/m", "stop", 1, 1, 0.0, 0.1)
    for number in range(100):
        now[0] = number * DAY_S
        cache.put(bytes([number]), big)
        assert cache.get(b"\x00") is not None, "it is used every day"
    cache.trim()
    assert cache.info().bytes <= 100_000
    assert cache.get(b"\x00") is not None
    assert cache.get(b"\x01") is None
    assert cache.get(bytes([99])) is not None
    cache.close()


def test_it_trims_itself_while_it_is_written(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite", max_bytes=200_000)
    big = ModelReply("x" * 2000, "openai/m", "stop", 1, 1, 0.0, 0.1)
    for number in range(1024):
        cache.put(number.to_bytes(2, "big"), big)
    assert cache.info().bytes < 1_000_000
    cache.close()


WRITER = """
import sys
from pathlib import Path
from fapo.llm.cache import ReplyCache
from fapo.records import ModelReply
path = Path(sys.argv[1])
print("ready", flush=True)
while not path.with_name("go").exists():
    pass
cache = ReplyCache(path)
for number in range(int(sys.argv[3])):
    cache.put(f"{sys.argv[2]}{number}".encode(), ModelReply(str(number), "openai/m", "stop", 1, 1, 0.0, 0.1))
    print(number, flush=True)
cache.close()
"""


class Writer:
    """A process that fills the cache as soon as the file `go` lies beside it."""

    def __init__(self, path: Path, name: str, replies: int) -> None:
        command = [sys.executable, "-c", WRITER, str(path), name, str(replies)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.read() == "ready"

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def test_processes_that_create_and_fill_it_at_once_lose_nothing(tmp_path: Path) -> None:
    path, names = tmp_path / "replies.sqlite", "abcdefgh"
    writers = [Writer(path, name, 100) for name in names]
    (tmp_path / "go").touch()
    for writer in writers:
        writer.process.communicate(timeout=60)
    assert {writer.process.returncode for writer in writers} == {0}
    cache = ReplyCache(path)
    assert cache.info().entries == 800
    assert all(cache.get(f"{name}{number}".encode()) for name in names for number in range(100))
    cache.close()


def test_a_kill_loses_no_reply_whose_put_had_returned(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    (tmp_path / "go").touch()
    writer = Writer(path, "a", 1_000_000)
    last = [int(writer.read()) for _ in range(500)][-1]
    writer.process.kill()
    writer.process.communicate()
    cache = ReplyCache(path)
    assert all(cache.get(f"a{number}".encode()) for number in range(last + 1))
    cache.close()


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    path.write_text("this is no database " * 100)
    with pytest.raises(UsageError, match=r"replies\.sqlite: the reply cache is damaged .*; delete it"):
        ReplyCache(path)


def test_a_database_that_is_damaged_later_is_reported_and_not_taken_for_a_miss(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    cache = ReplyCache(path)
    for number in range(2000):
        cache.put(number.to_bytes(32, "big"), REPLY)
    cache.close()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    damaged = ReplyCache(path)
    with pytest.raises(UsageError, match="damaged"):
        damaged.get((7).to_bytes(32, "big"))
    damaged.close()


def test_a_locked_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UsageError, match=r"locked.*end the process that locks it"):
        ReplyCache(path, lock_timeout_s=0.01)
    other.close()


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="FAPO_CACHE_DIR"):
        ReplyCache(tmp_path / "file" / "replies.sqlite")
    with pytest.raises(UsageError, match=r"unable to open.*FAPO_CACHE_DIR"):
        ReplyCache(tmp_path)


def test_the_cache_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(UsageError, match="another version"):
        ReplyCache(path)


def test_a_reply_that_cannot_be_written_is_no_error_but_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "replies.sqlite"
    cache = ReplyCache(path, lock_timeout_s=0.01)
    cache.put(b"a", REPLY)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.WARNING):
        cache.put(b"b", REPLY)
        cache.put(b"c", REPLY)
    assert ["no longer cached" in record.message for record in caplog.records] == [True]
    assert cache.get(b"a") is not None
    assert cache.get(b"b") is None
    other.close()
    cache.close()
