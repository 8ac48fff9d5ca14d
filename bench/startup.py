"""How fast fapo is there: `fapo --help` beside the libraries that any such program imports, and the time from the start
of `fapo eval` to its first request beside `import litellm`."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.drive import OURS, Load, drive, import_litellm_s
from bench.loopback import Server, running_server
from bench.measure import run

_IMPORTS = "import typer, rich.console, rich.panel, rich.table"


def interleaved(times: int, *timed: Callable[[], float]) -> list[float]:
    """The median of each, in seconds. They take turns, so that what else the machine does falls on all of them."""
    found = [[one() for one in timed] for _ in range(times)]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def wall_s(*command: str) -> float:
    found = run(command, os.environ)
    if found.returncode:
        raise SystemExit(f"{command}: {found.stderr}")
    return found.wall_s


def first_request_s(server: Server) -> float:
    return drive(OURS, server, Load(cases=1, concurrency=1, latency_ms=1)).start_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    times = parser.parse_args().times
    fapo = str(Path(sys.executable).with_name("fapo"))
    shown, floor = interleaved(times, lambda: wall_s(fapo, "--help"), lambda: wall_s(sys.executable, "-c", _IMPORTS))
    print(f"fapo --help                 {shown:.3f} s")
    print(f"its libraries               {floor:.3f} s   ({_IMPORTS})")
    print(f"ratio                       {shown / floor:.2f}\n")
    with running_server() as server:
        first, litellm = interleaved(times, lambda: first_request_s(server), import_litellm_s)
    print(f"fapo eval, first request    {first:.3f} s")
    print(f"import litellm              {litellm:.3f} s")
    print(f"ratio                       {first / litellm:.2f}")


if __name__ == "__main__":
    main()
