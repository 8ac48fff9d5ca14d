"""One driver, run once against the server, and what that cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.drivers import fapo_eval
from bench.loopback import Server
from bench.measure import Measured, run
from bench.work import STEPS

_SHORT_TEXT = 2000
# Without it LiteLLM fetches its price list from the network as it starts.
_QUIET_LITELLM = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}

# A client that drops a call now and then and sends it again, as one peer does, is still measured.
_REPEATED_BY_A_PEER = 0.001


@dataclass(frozen=True, slots=True)
class Driver:
    """A script in `drivers/` and the interpreter that runs it. fapo itself runs as its command line, without one."""

    name: str
    script: str
    python: str | None = None


OURS = Driver("fapo eval", "fapo_eval")
# For each peer: its driver, and the modules that an interpreter must have to run it.
PEERS = {
    "aiohttp": ("raw_aiohttp", ("aiohttp",)),
    "litellm": ("litellm_acompletion", ("litellm",)),
    "langgraph": ("langgraph_threads", ("langgraph", "openai")),
    "dspy": ("dspy_evaluate", ("dspy",)),
    "gepa": ("gepa_default", ("gepa", "litellm")),
    "inspect_ai": ("inspect_eval", ("inspect_ai", "openai")),
}


@dataclass(frozen=True, slots=True)
class Load:
    """`cases` chains of three calls, `concurrency` of them at once, each call answered after `latency_ms`."""

    cases: int
    concurrency: int
    latency_ms: float

    @property
    def calls(self) -> int:
        return self.cases * len(STEPS)

    @property
    def ideal_s(self) -> float:
        return self.calls * self.latency_ms / 1000 / min(self.concurrency, self.cases)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. The server's clock runs from the first request that it gets to the last reply that it sends; `start`
    is what comes before that, `end_s` what comes after. CPU of a call is all that is spent after the start."""

    ratio: float
    cpu_ms_per_call: float
    peak_mb: float
    start_s: float
    start_cpu_s: float
    end_s: float
    max_in_flight: int


class BadRun(Exception):
    """A run that measures nothing: it failed, made other calls than it should, or its answers are wrong."""


def drive(driver: Driver, server: Server, load: Load) -> Run:
    """Run a driver.

    BadRun unless it made each call, each from the reply before, once (a peer: one in 1,000 twice), and its answers are
    right.
    """
    server.reset(load.latency_ms)
    with tempfile.TemporaryDirectory(prefix="fapo-bench-") as directory:
        measured = _run_driver(driver, server, load, Path(directory))
    if measured.returncode:
        raise BadRun(f"{driver.name} ended with {measured.returncode}:\n{measured.stderr[-_SHORT_TEXT:]}")
    stats = server.stats()
    _check(driver, measured, stats, load)
    start_cpu_s = measured.cpu_before(stats["first"])
    return Run(
        ratio=(stats["last"] - stats["first"]) / load.ideal_s,
        cpu_ms_per_call=1000 * (measured.cpu_s - start_cpu_s) / load.calls,
        peak_mb=measured.peak_mb,
        start_s=stats["first"] - measured.started,
        start_cpu_s=start_cpu_s,
        end_s=measured.started + measured.wall_s - stats["last"],
        max_in_flight=stats["max_in_flight"],
    )


def _run_driver(driver: Driver, server: Server, load: Load, directory: Path) -> Measured:
    if driver.python is None:
        pipeline = directory / "pipeline"
        fapo_eval.write_pipeline(pipeline, load.cases)
        environment = fapo_eval.environment(server.base_url, directory)
        return run(fapo_eval.command(pipeline, load.concurrency), environment)
    script = Path(__file__).with_name("drivers") / f"{driver.script}.py"
    command = [driver.python, str(script), server.base_url, str(load.cases), str(load.concurrency)]
    return run(command, {**os.environ, **_QUIET_LITELLM, "TMPDIR": str(directory), "NO_PROXY": "127.0.0.1"})


def _check(driver: Driver, measured: Measured, stats: Mapping[str, Any], load: Load) -> None:
    spare = 0 if driver.python is None else int(load.calls * _REPEATED_BY_A_PEER)
    counts = [stats["requests"], stats["replies"], sum(stats["by_prompt"])]
    too_few = min(stats["by_prompt"], default=0) < load.cases or stats["distinct"] != load.calls
    if too_few or not all(load.calls <= count <= load.calls + spare for count in counts):
        wrong = {name: stats[name] for name in ("requests", "replies", "distinct", "by_prompt")}
        raise BadRun(f"{driver.name} did not make the {load.calls} calls of {load.cases} cases: {wrong}")
    mean, n = mean_score(measured.stdout)
    if (mean, n) != (1.0, load.cases):
        raise BadRun(f"{driver.name} has a mean score of {mean} on {n} cases, not of 1 on {load.cases}")


def mean_score(stdout: str) -> tuple[float, int]:
    """What a driver reports, or `fapo eval --json`, which has it under `score`."""
    found = json.loads(stdout[stdout.index("{") :])
    found = found.get("score", found)
    return found["mean"], found["n"]


def import_litellm_s() -> float:
    """How long a process takes that only imports LiteLLM."""
    return run([sys.executable, "-c", "import litellm"], {**os.environ, **_QUIET_LITELLM}).wall_s


def find_peers(wanted: str, pythons: Sequence[str]) -> tuple[list[Driver], list[str]]:
    """The drivers of the wanted peers (`all`, `none` or names), and the names of those that no interpreter has."""
    names = [] if wanted == "none" else list(PEERS) if wanted == "all" else wanted.split(",")
    if unknown := [name for name in names if name not in PEERS]:
        raise SystemExit(f"unknown peers: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    found, missing = [], []
    for name in names:
        script, modules = PEERS[name]
        python = next((python for python in pythons if _has(python, modules)), None)
        if python is None:
            missing.append(name)
        else:
            found.append(Driver(name, script, python))
    return found, missing


def _has(python: str, modules: Sequence[str]) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {list(modules)!r})))"
    return subprocess.run([python, "-I", "-c", code], check=False).returncode == 0
