"""What an evaluation costs when each reply is known: `fapo eval` of 1,000 cases again, and one look into the cache."""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.drive import Load, mean_score
from bench.drivers import fapo_eval
from bench.loopback import Server, running_server
from bench.measure import Measured, run
from bench.work import reply_to
from fapo.llm.cache import ReplyCache
from fapo.records import ModelReply


def evaluate(server: Server, load: Load, directory: Path, *, calls: int) -> Measured:
    """`fapo eval`; SystemExit unless it makes exactly `calls` calls and is right on each case."""
    server.reset(load.latency_ms)
    command = fapo_eval.command(directory / "pipeline", load.concurrency)
    found = run(command, fapo_eval.environment(server.base_url, directory))
    made = server.stats()["requests"]
    if found.returncode or made != calls or mean_score(found.stdout) != (1.0, load.cases):
        raise SystemExit(f"fapo eval ended with {found.returncode} after {made} calls:\n{found.stderr}")
    return found


def get_us(path: Path, entries: int) -> float:
    """Microseconds of one `ReplyCache.get`, amortized over all entries."""
    cache = ReplyCache(path)
    keys = [hashlib.blake2b(str(number).encode(), digest_size=32).digest() for number in range(entries)]
    for key in keys:
        text = reply_to(key.hex())
        cache.put(key, ModelReply(text, "openai/bench", "stop", 150, 50, 0.0001, 0.2))
    cache.close()
    cache = ReplyCache(path)
    started = time.perf_counter()
    found = sum(cache.get(key) is not None for key in keys)
    took = time.perf_counter() - started
    cache.close()
    assert found == entries
    return 1e6 * took / entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    load = Load(given.cases, given.concurrency, latency_ms=1)
    with tempfile.TemporaryDirectory(prefix="fapo-bench-") as name, running_server() as server:
        directory = Path(name)
        fapo_eval.write_pipeline(directory / "pipeline", load.cases)
        first = evaluate(server, load, directory, calls=load.calls)
        again = [evaluate(server, load, directory, calls=0) for _ in range(given.rounds)]
        amortized = statistics.median(get_us(directory / f"{n}.sqlite", load.calls) for n in range(given.rounds))
    print(f"{load.cases:,} cases, {load.calls:,} calls at 1 ms   {first.wall_s:.2f} s, {first.cpu_s:.2f} s of CPU")
    wall, cpu = (statistics.median(getattr(run, field) for run in again) for field in ("wall_s", "cpu_s"))
    print(f"again, each reply from the cache  {wall:.2f} s, {cpu:.2f} s of CPU")
    print(f"one ReplyCache.get                {amortized:.1f} us")


if __name__ == "__main__":
    main()
