"""A worker's private folder. At level `full` the sandbox's own /tmp, limited by its mount; else one that is watched."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from fapo.sandbox.policy import PRIVATE_TMP, Level

_CHECK_S = 0.2
_BLOCK = 512  # of st_blocks, whatever the file system's are
_LEAST = 4096  # that a file counts for


class Scratch:
    """Made on this machine unless the sandbox brings its own; to be removed after the worker's end."""

    def __init__(self, level: Level) -> None:
        self._ours = level != "full"
        self.path = Path(tempfile.mkdtemp(prefix="fapo-worker-")) if self._ours else PRIVATE_TMP

    async def overflow(self, limit: int) -> None:
        """Return once the files in it take more than `limit` bytes; wait for ever where the mount sees to that."""
        if not self._ours:
            await asyncio.get_running_loop().create_future()
        # ASYNC110: nothing tells of a file that grows
        while await asyncio.to_thread(self._taken, limit) <= limit:  # noqa: ASYNC110
            await asyncio.sleep(_CHECK_S)

    def _taken(self, limit: int) -> int:
        """Bytes on disk; counting ends when they are more than `limit`."""
        taken = 0
        for folder, names, files in os.walk(self.path):
            for name in (*names, *files):
                try:
                    taken += max(os.lstat(os.path.join(folder, name)).st_blocks * _BLOCK, _LEAST)
                except FileNotFoundError:
                    continue
                if taken > limit:
                    return taken
        return taken

    def remove(self) -> None:
        if self._ours:
            shutil.rmtree(self.path, ignore_errors=True)
