"""Starts and stops the stand-ins' server as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class StandinAddress:
    """Where the stand-ins listen. `digest` names the version of their source, for caches to tell versions apart."""

    base_url: str
    digest: str


def source_digest() -> str:
    """SHA-256 over the stand-ins' source files."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


@contextlib.asynccontextmanager
async def standin_server(
    *, fault_rate: float = 0.0, fault_kinds: str = "429,500,drop,malformed"
) -> AsyncIterator[StandinAddress]:
    """Serve the stand-ins on a free loopback port for as long as the context lasts.

    The server ends when its standard input closes, so it never outlives this process. Raises RuntimeError when it does
    not come up.
    """
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME", "TMPDIR") if name in os.environ}
    faults = ("--fault-rate", str(fault_rate), "--fault-kinds", fault_kinds) if fault_rate else ()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", "fapo.standin", *faults,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=kept, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stand-in server did not start (exit code {await process.wait()})")
        yield StandinAddress(f"http://127.0.0.1:{json.loads(line)['port']}", source_digest())
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
