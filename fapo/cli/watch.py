"""`fapo watch RUN`: a run or an evaluation of another process as it goes on, until it ends."""

from __future__ import annotations

import re
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fapo.cli.names import Either, find_run

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

    from fapo.optimize.events import Event, State
    from fapo.optimize.follow import Progress, RunFollower

EVENTS_SHOWN = 6
LOST_AFTER = 3
"""Looks in a row that find neither a process at work nor anything new before a run counts as interrupted."""


def watch_command(
    run: Either,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks.")] = 0.5,
) -> None:
    """Follow a run that another process makes: a live table in a terminal, a line for each event elsewhere.

    Ends with the run. Exit code 1 where it was interrupted before its end.
    """
    from fapo.cli.running import run_to_end
    from fapo.errors import UsageError
    from fapo.store.run_names import kind_of

    directory = find_run(run)
    kind = kind_of(directory)
    if kind is None:
        raise UsageError("neither a run nor an evaluation: it holds no run.json and no evaluation.json", path=directory)
    run_to_end(_watch_run(directory, interval) if kind == "run" else _watch_evaluation(directory, interval))


async def _watch_run(directory: Path, interval: float) -> int:
    from asyncio import sleep

    from rich.live import Live

    from fapo.cli.console import stdout
    from fapo.config import read_environment
    from fapo.optimize.follow import RunFollower
    from fapo.optimize.run_files import RunFiles
    from fapo.store.files import is_locked

    console, follower = stdout(), RunFollower(directory)
    name = RunFiles(directory).pipeline
    lines: _Lines = _Lines(console, directory.name)
    live = None
    if console.is_terminal and not read_environment().plain:
        live = Live(console=console, auto_refresh=False, transient=True)
        live.start()
    try:
        idle = 0
        while follower.state.finished is None and idle < LOST_AFTER:
            new, progress = follower.poll(), follower.progress()
            for entry, state in new:
                lines.event(entry.time, entry.event, state, shown=live is None)
            if live is None:
                lines.progress(progress)
            else:
                live.update(_screen(name, follower, progress, lines), refresh=True)
            idle = 0 if new or is_locked(directory) else idle + 1
            if follower.state.finished is None:
                await sleep(interval)
    finally:
        if live is not None:
            live.stop()
    return _close(directory)


class _Lines:
    """What happened, as lines with the minutes since the run began; the latest are kept."""

    def __init__(self, console: Console, title: str) -> None:
        from fapo.cli.console import REPORT_EVERY_S

        self._console = console
        self._title = title
        self._every = REPORT_EVERY_S
        self._told = time.monotonic()
        self.latest: deque[str] = deque(maxlen=EVENTS_SHOWN)

    def event(self, at: float, event: Event, state: State, *, shown: bool) -> None:
        from fapo.cli.console import event_line

        line = event_line(event, state)
        if line is None:
            return
        minutes, seconds = divmod(max(int(at - (state.started_at or at)), 0), 60)
        self.latest.append(f"[dim]{minutes:2d}:{seconds:02d}[/] {line}")
        if shown:
            self._told = time.monotonic()
            self._console.print(self.latest[-1])

    def progress(self, progress: Progress | None) -> None:
        """A line where nothing else was said for a while."""
        if progress is not None and time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            self._console.print(f"      {progress_text(progress)}", markup=False)


def progress_text(progress: Progress) -> str:
    """How far an evaluation is, in a few words."""
    mean = "–" if progress.mean is None else f"{progress.mean:.3f}"
    failed = f", {progress.failures} failed" if progress.failures else ""
    name = re.sub(r"^draft-[0-9a-f]+", "draft", progress.name)
    return f"{name}: {progress.done}/{progress.of} cases, mean {mean}{failed}"


def _screen(name: str, follower: RunFollower, progress: Progress | None, lines: _Lines) -> Group:
    from rich.console import Group
    from rich.markup import escape
    from rich.text import Text

    from fapo.cli.console import dollars
    from fapo.cli.run_output import means_table, variant_table
    from fapo.optimize.follow import variant_rows

    state, best = follower.state, follower.state.incumbent
    minutes, seconds = divmod(int(time.time() - state.started_at) if state.started_at else 0, 60)
    paid = dollars(state.usage("task").cost_usd)
    head = f"[bold]{escape(name)}[/] {escape(follower.directory.name)}  {minutes}:{seconds:02d}  task {paid}"
    means = {variant: done.mean for variant in ("000", best) if (done := state.evaluated(variant, "validation"))}
    rows: dict[str, tuple[float | None, float | None]] = {"baseline": (means.get("000"), None)}
    if best != "000":
        rows[f"best so far ({best})"] = (means.get(best), None)
    parts: list[Text | Table] = [Text.from_markup(head), means_table(rows)]
    if state.attempts:
        parts += [Text(""), variant_table(variant_rows(state))]
    parts += [Text(""), *(Text.from_markup(line, overflow="ellipsis") for line in lines.latest)]
    for part in parts:
        if isinstance(part, Text):
            part.no_wrap = True
    if progress is not None:
        parts.append(Text(f"now   {progress_text(progress)}", style="cyan", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _close(directory: Path) -> int:
    from rich.markup import escape

    from fapo.cli.console import stdout
    from fapo.optimize.run_files import RunFiles
    from fapo.optimize.summarise import summarise
    from fapo.report.run_summary import ENDED, verdict_sentence

    summary, name = summarise(RunFiles(directory)), escape(directory.name)
    if summary.status not in ENDED:
        stdout().print(f"no process works on it any more; go on with: fapo optimize --resume {name}")
        return 1
    stdout().print(f"[bold]{escape(verdict_sentence(summary))}[/]")
    stdout().print(f"all of it: fapo show {name}")
    return 0


async def _watch_evaluation(directory: Path, interval: float) -> int:
    from asyncio import sleep

    from rich.markup import escape

    from fapo.cli.console import stdout
    from fapo.config import read_environment
    from fapo.evaluation.evaluate import load_manifest
    from fapo.optimize.follow import EvaluationFollower
    from fapo.store.files import is_locked

    console = stdout()
    follower = EvaluationFollower(directory, load_manifest(directory).trials)
    lines = _Lines(console, directory.name)
    live = console.status("") if console.is_terminal and not read_environment().plain else None
    if live is not None:
        live.start()
    try:
        idle = before = 0
        while idle < LOST_AFTER:
            progress = follower.poll()
            if 0 < progress.of <= progress.done:
                break
            if live is None:
                lines.progress(progress)
            else:
                live.update(progress_text(progress))
            idle = 0 if progress.done > before or is_locked(directory) else idle + 1
            before = progress.done
            await sleep(interval)
    finally:
        if live is not None:
            live.stop()
    console.print(progress_text(follower.progress), markup=False)
    if follower.progress.done < follower.progress.of:
        console.print(f"no process works on it any more; go on with: fapo eval --resume {escape(directory.name)}")
        return 1
    console.print(f"all of it: fapo show {escape(directory.name)}")
    return 0
