"""How fapo looks in a terminal. Results go to stdout, progress to stderr; plain lines where there is no terminal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from fapo.agent.protocol import AgentEvent
from fapo.optimize.events import (
    Decided,
    Estimated,
    Evaluated,
    Event,
    Finished,
    LevelOpened,
    OpenedTest,
    Refused,
    Replayed,
    Reviewed,
    SearchEnded,
    SessionEnded,
    SessionStarted,
    State,
    Submitted,
)
from fapo.records import CaseRecord, Usage

REPORT_EVERY_S = 10.0
"""Without a terminal, progress is one line each time so many seconds have passed."""


def stdout() -> Console:
    return Console(highlight=False, soft_wrap=True)


def stderr(*, plain: bool) -> Console:
    return Console(stderr=True, highlight=False, no_color=plain or None, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON object on stdout and nothing else."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def dollars(cost: float | None) -> str:
    if cost is None:
        return "unknown cost"
    return f"${cost:.2f}" if cost >= 1 or cost == 0 else f"${cost:.4f}"


def count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def say_unpriced(console: Console, models: Sequence[str]) -> None:
    """Say, before anything is spent, whose spending cannot be told."""
    if models:
        console.print(f"[yellow]note[/] the price of {escape(', '.join(models))} is unknown, and so is what it costs")


class CaseProgress:
    """Live figures of a running evaluation: done, failures, score so far, calls, cached calls, cost, time left."""

    def __init__(self, console: Console, title: str, total: int, *, plain: bool) -> None:
        self._console = console
        self._title = title
        self._total = total
        self._decided = 0
        self._sum = 0.0
        self._failures = 0
        self._undecided = 0
        self._done = 0
        self._usage = Usage()
        self._next_line_at = time.monotonic() + REPORT_EVERY_S
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if console.is_terminal and not plain:
            self._bar = Progress(
                TextColumn("  {task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"), TimeRemainingColumn(compact=True),
                console=console, transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task(escape(title), total=total, figures="")
            self._bar.start()

    def case_done(self, record: CaseRecord) -> None:
        self._done += 1
        self._usage += record.usage
        self._failures += record.failure is not None and record.failure.owner == "pipeline"
        self._undecided += record.value is None
        if record.value is not None:
            self._decided += 1
            self._sum += record.value
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, figures=self._figures())
        elif time.monotonic() >= self._next_line_at:
            self._next_line_at += REPORT_EVERY_S
            self._console.print(f"  {escape(self._title)}: {self._done}/{self._total}  {self._figures()}")

    def _figures(self) -> str:
        score = f"{self._sum / self._decided:.3f}" if self._decided else "–"
        parts = [f"score {score}"]
        if self._failures:
            parts.append(f"{self._failures} failed")
        if self._undecided:
            parts.append(f"{self._undecided} undecided")
        parts.append(f"{self._usage.llm_calls} calls, {self._usage.cached_calls} cached")
        parts.append(dollars(self._usage.cost_usd))
        return " · ".join(parts)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class TerminalNarrator:
    """Tells a person what an optimization does, one line for each thing that happens."""

    def __init__(self, console: Console, *, plain: bool) -> None:
        self._console = console
        self._plain = plain
        self._progress: CaseProgress | None = None
        self._started = time.monotonic()

    def evaluating(self, title: str, total: int) -> CaseProgress:
        self._progress = CaseProgress(self._console, title, total, plain=self._plain)
        return self._progress

    def evaluated(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def agent(self, event: AgentEvent, lane: int) -> None:
        line = _agent_line(event)
        if line:
            style = {"text": "italic", "denied": "yellow", "retry": "yellow"}.get(event.kind, "dim")
            who = f"agent {lane}" if lane else "agent"
            self._print(f"  [{style}]{who} {escape(line)}[/]")

    def note(self, text: str) -> None:
        self._print(escape(text))

    def event(self, event: Event, state: State) -> None:
        line = event_line(event, state)
        if line is not None:
            self._print(line)

    def _print(self, line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        clock = f"[dim]{minutes:2d}:{seconds:02d}[/]"
        if not self._console.is_terminal:
            self._console.print(f"{clock} {line}")
            return
        row = Table.grid(padding=(0, 1))
        row.add_row(clock, line)
        self._console.print(row)


def _agent_line(event: AgentEvent) -> str:
    """What the agent does, short: the tool and the file, or what it says."""
    if event.kind == "text":
        return f"says  {event.summary}"
    if event.kind not in ("tool", "denied"):
        return "" if event.kind == "result" else f"{event.kind}  {event.summary}"
    name, given = str(event.detail["name"]), event.detail.get("input", {})
    if event.kind == "denied":
        return f"was denied {name}: {event.detail['reason']}"
    if "error" in event.detail:
        return f"{_tool(name)} failed: {event.detail['error']}"
    path = str(given.get("file_path") or given.get("path") or "")
    inside = re.split(r"/workspace(?:-\d+)?/", path)[-1]
    shown = inside or (str(given["limit"]) + " cases" if "limit" in given else str(given.get("level", "")))
    return f"{_tool(name)}  {shown}".rstrip()


def _tool(name: str) -> str:
    words = {"Read": "reads", "Edit": "edits", "Write": "writes", "Glob": "lists", "Grep": "searches"}
    return words.get(name, name.removeprefix("mcp__fapo__"))


def event_line(event: Event, state: State) -> str | None:
    """An event in one line of markup for a person; None for one that says nothing by itself."""
    match event:
        case Evaluated() as e if e.variant.startswith("draft-") or e.n < e.of:
            return None
        case Evaluated() as e:
            failed = f", {e.failures} failed" if e.failures else ""
            arm = ", second arm" if e.trial else ""
            mean = f"mean [bold]{e.mean:.3f}[/] on {e.n} cases"
            return f"[bold]{e.variant}[/] {e.split}{arm}: {mean}{failed}  {_paid(e.paid)}"
        case Estimated() as e:
            cost = dollars(e.cost_usd)
            high = "" if not e.cost_high_usd else f", {dollars(e.cost_high_usd)} at the upper end"
            less = f"; {escape(' and '.join(e.exceeded))} would end the search earlier" if e.exceeded else ""
            return f"all that is planned would take at most about {e.calls:,} task-model calls, {cost}{high}{less}"
        case SessionStarted() as e:
            return f"agent session {e.session} begins"
        case SessionEnded() as e:
            error = f": {escape(e.error)}" if e.error else ""
            cost = dollars(e.usage.cost_usd)
            return f"agent session {e.session} ended ({e.status}{error}), {e.usage.llm_calls} turns, {cost}"
        case Submitted() as e:
            what = f"({e.level}, {escape(e.technique)} at {escape(e.step)})"
            return f"[bold cyan]variant {e.variant}[/] {what}: {escape(e.hypothesis)}"
        case Refused() as e:
            return f"[yellow]variant {e.variant} turned down unpaid[/]: {escape(e.reason)}"
        case Reviewed() as e if e.status == "block":
            return f"[yellow]reviewer blocks variant {e.variant}[/] ({escape(e.check)}): {escape(e.reason)}"
        case Reviewed() as e if e.status == "none":
            return f"[yellow]no review of variant {e.variant}[/]: {escape(e.reason)}"
        case Replayed() as e:
            shares = ", ".join(f"{level} {share:.0%}" for level, share in e.by_level.items())
            return f"replayed {e.cases} failing cases of {e.variant}: {shares}  {_paid(e.paid)}"
        case Decided() as e:
            colour = "green" if e.verdict == "accepted" else "red"
            return f"[bold cyan]variant {e.variant}[/] [bold {colour}]{e.verdict}[/]: {e.reason}  {_spent(state)}"
        case LevelOpened() as e:
            return f"[bold magenta]level {e.level} opened[/]: {escape(e.why)}"
        case SearchEnded() as e:
            return f"search ended ({e.status}): {escape(e.why)}"
        case OpenedTest() as e:
            return f"[bold]test opened, once[/], for {' and '.join(e.variants)}"
        case Finished(status="no_gain"):
            return "nothing was accepted: test stays sealed"
    return None


def _paid(usage: Usage) -> str:
    return f"[dim]{usage.llm_calls} calls, {usage.cached_calls} cached, {dollars(usage.cost_usd)}[/]"


def _spent(state: State) -> str:
    return f"[dim]task calls so far {dollars(state.usage('task').cost_usd)}[/]"


def table(*columns: str, right: Callable[[str], bool] = lambda _: False) -> Table:
    """A plain table without frame; columns for which `right` holds are right-aligned."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if right(column) else "left", overflow="fold")
    return made
