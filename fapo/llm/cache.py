"""Replies that were paid for, kept by content in one SQLite file that several processes may share."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fapo.errors import UsageError
from fapo.records import ModelReply

MAX_BYTES = 4 << 30
_VERSION = 1
_DAY_S = 86_400.0
_TRIM_EVERY = 256
_KEPT = ("text", "model", "finish_reason", "input_tokens", "output_tokens", "cost_usd", "latency_s")
_KEPT_IF_ANY = ("tool_calls", "embeddings")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheInfo:
    path: Path
    entries: int
    bytes: int


class ReplyCache:
    """Replies by request key. Calls block for some ten microseconds.

    Replies that arrive together are written together: one survives a kill of this process as soon as the event loop
    has come round, or once `put` has returned where there is no loop. Errors are never stored: the caller only puts
    replies. Beyond `max_bytes` the replies that were not used for the longest time go.
    """

    def __init__(
        self, path: Path, *, max_bytes: int = MAX_BYTES, lock_timeout_s: float = 10.0,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """Open or create the file. Raises UsageError for one that cannot be opened, is locked, or is no cache."""
        self.path = path
        self._max_bytes = max_bytes
        self._now = now
        self._puts = 0
        self._broken = False
        self._pending: dict[bytes, ModelReply] = {}
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._create()
            self._db = sqlite3.connect(path, timeout=lock_timeout_s, isolation_level=None)
            try:
                with self._alone():
                    self._prepare()
                self.trim()
            except BaseException:
                self._db.close()
                raise

    def _create(self) -> None:
        """An empty file that no other account may read: prompts and replies are the user's own."""
        # Never open one that exists: closing it would drop the locks that SQLite holds on it in this process.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from opening the file now: the switch to WAL fails at once when two try it together."""
        with self.path.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        # In WAL mode NORMAL keeps what was committed through a kill of the process; only a power cut loses the tail.
        self._db.execute("PRAGMA synchronous = NORMAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise UsageError("is the reply cache of another version of fapo; move it away", path=self.path)
        columns = "key BLOB PRIMARY KEY, reply TEXT NOT NULL, used REAL NOT NULL"
        self._db.execute(f"CREATE TABLE IF NOT EXISTS replies ({columns})")
        if version == 0:
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def get(self, key: bytes) -> ModelReply | None:
        """The reply kept under `key`, marked as cached. Raises UsageError if the file is damaged."""
        if key in self._pending:
            return replace(self._pending[key], cached=True)
        with self._explained():
            row = self._db.execute("SELECT reply, used FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if self._now() - row[1] > _DAY_S:
            self._write("UPDATE replies SET used = ? WHERE key = ?", (self._now(), key))
        return ModelReply(**json.loads(row[0]), cached=True)

    def put(self, key: bytes, reply: ModelReply) -> None:
        """Keep `reply`. If the disk is full or the file cannot be written, warns once and goes on without."""
        if self._broken:
            return
        self._pending[key] = reply
        if len(self._pending) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write what was put since the last time, in one transaction."""
        replies, self._pending = self._pending, {}
        if not replies or self._broken:
            return
        now = self._now()
        rows = [(key, _kept(reply), now) for key, reply in replies.items()]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._give_up(error)
        self._puts += len(rows)
        if self._puts >= _TRIM_EVERY:
            self._puts = 0
            self.trim()

    def trim(self) -> None:
        """Drop the least recently used tenth as often as it takes to get below the size limit."""
        while not self._broken and self._live_bytes() > self._max_bytes and (entries := self.info().entries):
            drop = max(1, entries // 10)
            self._write("DELETE FROM replies WHERE key IN (SELECT key FROM replies ORDER BY used LIMIT ?)", (drop,))

    def info(self) -> CacheInfo:
        """How many replies there are, and the bytes that they fill."""
        self.flush()
        with self._explained():
            (entries,) = self._db.execute("SELECT count(*) FROM replies").fetchone()
            return CacheInfo(self.path, entries, self._live_bytes())

    def clear(self) -> None:
        """Forget every reply and give the space back."""
        self.flush()
        with self._explained():
            self._db.execute("DELETE FROM replies")
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self.flush()
        self._db.close()

    def _live_bytes(self) -> int:
        """What the replies fill; pages that were freed are used again, so the file does not shrink."""
        size, pages, free = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
        return int((pages - free) * size)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        if self._broken:
            return
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        self._broken = True
        _log.warning("%s: replies are no longer cached: %s", self.path, error)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            text = f"the reply cache cannot be used ({error}); {self._advice(error)}"
            raise UsageError(text, path=self.path) from None
        except sqlite3.DatabaseError as error:
            raise UsageError(f"the reply cache is damaged ({error}); delete it", path=self.path) from None
        except OSError as error:
            hint = "set FAPO_CACHE_DIR to a folder you can write to"
            raise UsageError(f"the reply cache cannot be opened ({error.strerror}); {hint}", path=self.path) from None

    @staticmethod
    def _advice(error: sqlite3.OperationalError) -> str:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            return "end the process that locks it"
        return "check the disk, or set FAPO_CACHE_DIR to another folder"


def _kept(reply: ModelReply) -> str:
    fields = {name: getattr(reply, name) for name in _KEPT}
    return json.dumps(fields | {name: kept for name in _KEPT_IF_ANY if (kept := getattr(reply, name))})
