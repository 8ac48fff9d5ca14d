"""The reply cache: every paid reply under what was asked, in one SQLite file that all runs share."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from fapo.errors import UsageError
from fapo.llm.endpoints import Endpoint
from fapo.records import ModelReply, ModelRequest

MAX_BYTES = 4 * 2**30
"""Above this size the replies that were not used for longest make room."""
_EVICTION_CHECK = 1000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
  key TEXT PRIMARY KEY, reply TEXT NOT NULL, bytes INTEGER NOT NULL, used REAL NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class CacheInfo:
    path: Path
    entries: int
    bytes: int


def cache_key(request: ModelRequest, endpoint: Endpoint) -> str:
    """SHA-256 of what decides a reply: model, messages, parameters, and which sample it is."""
    asked = {
        "model": endpoint.identity or endpoint.model,
        "messages": request.messages,
        "params": request.params,
        "trial": request.trial,
        "occurrence": request.occurrence,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class ReplyCache:
    """Replies by key. A `put` that returned survives a kill; several processes may use the file at once.

    Raises UsageError where the file is not a cache or cannot be opened. A `put` that fails, on a full disk say, is
    counted in `lost` and loses nothing but the saving.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.lost = 0
        self._max_bytes = max_bytes
        self._puts = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            hint = "remove the file, or name another place with FAPO_CACHE_DIR"
            raise UsageError(f"the reply cache cannot be used ({error}); {hint}", path=path) from None

    def get(self, key: str) -> ModelReply | None:
        """The reply stored under `key`, marked as cached."""
        row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        text, model, finish_reason, input_tokens, output_tokens, cost, latency = json.loads(row[0])
        return ModelReply(text, model, finish_reason, input_tokens, output_tokens, cost, latency, cached=True)

    def put(self, key: str, reply: ModelReply) -> None:
        r = reply
        row = json.dumps(
            [r.text, r.model, r.finish_reason, r.input_tokens, r.output_tokens, r.cost_usd, r.latency_s],
            ensure_ascii=False,
        )
        try:
            self._db.execute(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)", (key, row, len(row) + 100, time.time())
            )
            self._puts += 1
            if self._puts % _EVICTION_CHECK == 0:
                self._evict()
        except sqlite3.Error:
            self.lost += 1

    def _evict(self) -> None:
        excess = self.info().bytes - self._max_bytes
        if excess <= 0:
            return
        freed = 0
        for key, size in self._db.execute("SELECT key, bytes FROM replies ORDER BY used").fetchall():
            self._db.execute("DELETE FROM replies WHERE key = ?", (key,))
            freed += size
            if freed > excess + self._max_bytes // 10:
                break

    def info(self) -> CacheInfo:
        entries, total = self._db.execute("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM replies").fetchone()
        return CacheInfo(self.path, entries, total)

    def clear(self) -> None:
        self._db.execute("DELETE FROM replies")
        self._db.execute("VACUUM")

    def close(self) -> None:
        self._db.close()
