"""Running a command alone: wall time, CPU of its whole process tree, and peak memory."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_EVERY_S = 0.05
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MB = resource.getpagesize() / 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU spent so far and memory held by a process tree at a time of CLOCK_MONOTONIC."""

    at: float
    cpu_s: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. `cpu_s` is user and system time of the tree; `peak_mb` the largest sum of resident sets seen in it."""

    started: float
    wall_s: float
    cpu_s: float
    peak_mb: float
    samples: tuple[Sample, ...]
    returncode: int
    stdout: str
    stderr: str

    def cpu_before(self, at: float) -> float:
        """CPU that was spent before a time, to the resolution of the samples."""
        return max((sample.cpu_s for sample in self.samples if sample.at <= at), default=0.0)


class _Tree:
    """Samples a process and its descendants. Sets that processes share count once for each, so memory errs upwards."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._cpu_s: dict[int, float] = {}
        self.samples: list[Sample] = []

    def sample(self) -> None:
        rows = _processes()
        memory = 0.0
        for pid in _descendants(self._root, rows):
            _, self._cpu_s[pid], resident = rows[pid]
            memory += resident
        self.samples.append(Sample(time.monotonic(), sum(self._cpu_s.values()), memory))

    def run(self, ended: threading.Event) -> None:
        self.sample()
        while not ended.wait(_EVERY_S):
            self.sample()


def _processes() -> dict[int, tuple[int, float, float]]:
    """For each process: its parent, the CPU seconds it spent itself, its resident set in MB."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything; numbers of fields as in proc(5), less the first two.
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                cpu_s = (int(fields[11]) + int(fields[12])) * _TICK_S
                found[int(entry.name)] = int(fields[1]), cpu_s, int(fields[21]) * _PAGE_MB
    return found


def _descendants(root: int, rows: Mapping[int, tuple[int, float, float]]) -> set[int]:
    found = {root} & rows.keys()
    while True:
        more = {pid for pid, row in rows.items() if row[0] in found} - found
        if not more:
            return found
        found |= more


def run(command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float = 3600.0) -> Measured:
    """Run `command` to its end. Not for two threads at once: it tells its child's CPU from the sum of all."""
    before = _children_cpu_s()
    started = time.monotonic()
    process = subprocess.Popen(
        list(command), env=dict(environment), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    tree, ended = _Tree(process.pid), threading.Event()
    sampler = threading.Thread(target=tree.run, args=(ended,))
    sampler.start()
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
        wall_s = time.monotonic() - started
    finally:
        ended.set()
        sampler.join()
        process.kill()
        process.wait()
    # The sum that the kernel gives lacks descendants that nobody waited for; the samples lack what came after the last.
    cpu_s = max(_children_cpu_s() - before, tree.samples[-1].cpu_s)
    peak = max(sample.memory_mb for sample in tree.samples)
    return Measured(started, wall_s, cpu_s, peak, tuple(tree.samples), process.returncode, stdout, stderr)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
