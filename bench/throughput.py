"""What an evaluation costs beside the wire: `fapo eval` and its peers against a server that answers after a fixed time.

Each driver does the same N x 3 calls, in processes of its own, one driver at a time, in interleaved rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.drive import OURS, PEERS, BadRun, Driver, Load, Run, drive, find_peers, import_litellm_s
from bench.loopback import Server, ceiling, running_server

_SCALE_CASES = 16_667
_CEILING_REQUESTS = 20_000
_HEADROOM = 2
_WIDTH = 150
_COLUMNS = (
    ("in flight", "concurrency", "{:,}"),
    ("calls", "calls", "{:,}"),
    ("runs", "runs", "{}"),
    ("ratio", "ratio", "{:.2f}"),
    ("min", "ratio_min", "{:.2f}"),
    ("max", "ratio_max", "{:.2f}"),
    ("CPU ms a call", "cpu_ms_per_call", "{:.2f}"),
    ("peak MB", "peak_mb", "{:.0f}"),
    ("start s", "start_s", "{:.2f}"),
    ("start CPU s", "start_cpu_s", "{:.2f}"),
    ("end s", "end_s", "{:.2f}"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """All that was measured. `server`: its own limit; `rows`: one for each driver, size and concurrency."""

    server: dict[str, float]
    import_litellm_s: float
    rows: list[dict[str, Any]]


def measure(drivers: Sequence[Driver], server: Server, loads: Sequence[Load], rounds: int, console: Console) -> Found:
    """Rounds are interleaved: what else the machine does in the meantime falls on all drivers alike."""
    limit = ceiling(server, requests=_CEILING_REQUESTS, connections=max(load.concurrency for load in loads))
    limit["needed_per_s"] = round(max(load.calls / load.ideal_s for load in loads))
    if warning := too_slow(limit):
        console.print(warning)
    plan = [(driver, load) for load in loads for driver in drivers]
    runs: list[list[Run]] = [[] for _ in plan]
    imports = []
    for number in range(1, rounds + 1):
        imports.append(import_litellm_s())
        for (driver, load), found in zip(plan, runs, strict=True):
            told = f"round {number}: {driver.name}, {load.cases:,} cases, {load.concurrency} in flight:"
            try:
                found.append(drive(driver, server, load))
                console.print(f"{told} ratio {found[-1].ratio:.2f}, {found[-1].cpu_ms_per_call:.2f} ms a call")
            except BadRun as error:
                if driver is OURS:
                    raise SystemExit(str(error)) from None
                console.print(f"{told} left out: {error}", markup=False)
    rows = [_row(driver.name, load, found) for (driver, load), found in zip(plan, runs, strict=True) if found]
    return Found(limit, round(statistics.median(imports), 3), rows)


def too_slow(server: Mapping[str, float]) -> str | None:
    """What is to be said of a server that answers no more than twice of what the drivers are to ask of it."""
    found, needed = server["requests_per_s"], server["needed_per_s"]
    if found >= _HEADROOM * needed:
        return None
    return f"the server answers {found:,} requests/s at most, and {needed:,} are needed: it slows the drivers down"


def _row(name: str, load: Load, runs: Sequence[Run]) -> dict[str, Any]:
    """Medians of the runs."""

    def median(field: str) -> float:
        return round(float(statistics.median(getattr(run, field) for run in runs)), 3)

    ratios = [run.ratio for run in runs]
    figures = ("ratio", "cpu_ms_per_call", "peak_mb", "start_s", "start_cpu_s", "end_s")
    return {
        "name": name,
        "concurrency": load.concurrency,
        "calls": load.calls,
        "runs": len(runs),
        **{field: median(field) for field in figures},
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "max_in_flight": max(run.max_in_flight for run in runs),
    }


def show(found: Found, latency_ms: float, rounds: int, console: Console) -> None:
    table = Table("what drives the calls", box=box.MARKDOWN)
    for heading, _, _ in _COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(_name(row), *(form.format(row[field]) for _, field, form in _COLUMNS))
    console.print(table)
    limit = found.server
    console.print(
        f"Medians of {rounds} rounds at {latency_ms:g} ms a call. The server alone: "
        f"{limit['requests_per_s']:,} requests/s ({limit['needed_per_s']:,} are needed), "
        f"{limit['cpu_ms_per_request']:.3f} ms of CPU a request. "
        f"`import litellm` alone: {found.import_litellm_s:.2f} s.",
        soft_wrap=True,
    )


def _name(row: Mapping[str, Any]) -> str:
    return f"**{row['name']}**" if row["name"] == OURS.name else str(row["name"])


def _loads(given: argparse.Namespace) -> list[Load]:
    sizes = [given.cases, _SCALE_CASES] if given.scale else [given.cases]
    levels = [int(part) for part in given.concurrency.split(",")]
    return [Load(size, level, given.latency_ms) for level in levels for size in sizes]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one object: server, import_litellm_s, rows")
    parser.add_argument("--peers", nargs="+", default=["all"], metavar="PEER",
                        help=f"all, none, or some of {', '.join(PEERS)}")  # fmt: skip
    parser.add_argument("--peer-python", action="append", default=[], metavar="PATH",
                        help="an interpreter that has peers installed; may be given more than once")  # fmt: skip
    parser.add_argument("--concurrency", default="64,256", help="cases in flight at once; several with commas")
    parser.add_argument("--cases", type=int, default=2048)
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", action="store_true", help=f"also with {_SCALE_CASES:,} cases, which is 50,000 calls")
    return parser.parse_args()


def main() -> None:
    given = _parse()
    progress = Console(stderr=True)
    peers, missing = find_peers(",".join(given.peers), [*given.peer_python, sys.executable])
    if missing:
        progress.print(
            f"not installed: {', '.join(missing)}. Install bench/requirements.txt and bench/requirements-inspect.txt "
            "in environments of their own and name their interpreters with --peer-python"
        )
    with running_server() as server:
        found = measure([OURS, *peers], server, _loads(given), given.rounds, progress)
    if given.json:
        whole = {"server": found.server, "import_litellm_s": found.import_litellm_s, "rows": found.rows}
        print(json.dumps(whole, indent=1))
    else:
        show(found, given.latency_ms, given.rounds, Console(width=_WIDTH))


if __name__ == "__main__":
    main()
