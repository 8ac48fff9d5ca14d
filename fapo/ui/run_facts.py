"""A run as its page shows it, put together from its journal, its folders and the index."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fapo.config import OptimizeConfig
from fapo.errors import FapoError
from fapo.evaluation.compare import Comparison
from fapo.evaluation.evaluate import MANIFEST_FILE, TRACES_FILE, load_manifest
from fapo.evaluation.request import read_cases
from fapo.optimize.events import State
from fapo.optimize.run import evaluation_name
from fapo.optimize.run_files import RunFiles
from fapo.records import BASELINE, Usage
from fapo.report.run_summary import Gain, describe_gain
from fapo.ui.journal_view import Line, Point, Tone, TreeRow, chart, lines_of, read_journal, tree
from fapo.ui.library import EVALUATIONS, JOURNAL, Library
from fapo.ui.trace_index import TraceIndex
from fapo.ui.versus import Comparer

_FRESH_S = 20.0
"""How long after its last case the last evaluation counts as going on."""


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One evaluation of a run. `at` is None where its cases are not to be shown; `mean` so far, where it goes on."""

    name: str
    at: str | None
    variant: str
    split: str
    n: int
    of: int | None
    mean: float | None
    failures: int
    goes_on: bool

    @property
    def is_draft(self) -> bool:
        return self.variant.startswith("draft-")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run, finished or not. `end` is where the rest of its journal begins, bytes; `test` the verdict of test."""

    name: str
    directory: Path
    pipeline: str
    config: OptimizeConfig
    state: State
    running: bool
    tone: Tone
    headline: str
    points: tuple[Point, ...]
    tree: tuple[TreeRow, ...]
    evaluations: tuple[EvaluationRow, ...]
    lines: tuple[Line, ...]
    end: int
    note: str

    @property
    def seconds(self) -> float:
        """From the first event to the last, or to now."""
        last = time.time() if self.running else self.lines[-1].time if self.lines else self.state.started_at
        return max(0.0, last - self.state.started_at) if self.state.started_at else 0.0

    @property
    def usages(self) -> dict[str, Usage]:
        return {"task": self.state.usage("task"), "judge": self.state.usage("judge"),
                "optimizer": self.state.usage("optimizer")}  # fmt: skip

    def evaluated(self, variant: str) -> list[EvaluationRow]:
        return [row for row in self.evaluations if row.variant == variant]

    def validation(self, variant: str) -> str | None:
        """Where a variant's evaluation on validation is."""
        name = evaluation_name((variant, "validation", None, 0))
        return next((row.at for row in self.evaluations if row.name == name), None)


def read_run(library: Library, comparer: Comparer, name: str) -> RunFacts:
    """Raises UnknownPlace, and UsageError for a run that cannot be read."""
    directory = library.run(name)
    files = RunFiles(directory)
    state, running = files.state, files.is_running
    entries, ends = read_journal(directory / JOURNAL)
    tone, headline = _headline(state, running, directory, comparer)
    return RunFacts(
        name=name,
        directory=directory,
        pipeline=files.pipeline,
        config=files.config,
        state=state,
        running=running,
        tone=tone,
        headline=headline,
        points=tuple(chart(state)),
        tree=tuple(tree(state)),
        evaluations=tuple(_evaluations(library, name, directory, state, running)),
        lines=tuple(lines_of(entries, ends)),
        end=ends[-1] if ends else 0,
        note=_note(directory),
    )


def _note(directory: Path) -> str:
    try:
        return load_manifest(directory / EVALUATIONS / f"{BASELINE}-validation").sample or ""
    except FapoError:
        return ""


def _headline(state: State, running: bool, directory: Path, comparer: Comparer) -> tuple[Tone, str]:
    """The outcome in one sentence, or what goes on now."""
    best = f"Variant {state.incumbent} ({state.level_of(state.incumbent) or 'prompt'})"
    if state.finished is None:
        if running:
            return "strong", _activity(state)
        return "warn", f"Interrupted. Go on with: fapo optimize --resume {directory}"
    if state.finished.status == "no_gain":
        tried = len(state.attempts)
        return "plain", f"Nothing was accepted: {tried} variants were tried and none beat the baseline. Test is sealed."
    figures = _test_figures(state, directory, comparer)
    if state.finished.status == "improved":
        return "good", f"{best} is better than the baseline on test{figures}."
    if state.finished.status == "unconfirmed":
        return "warn", f"{best} won on validation, but test does not confirm it{figures}."
    return "plain", f"Finished: {state.finished.status.replace('_', ' ')}."


def _activity(state: State) -> str:
    if state.test is not None:
        return "Running: baseline and best on test."
    if state.search_ended is not None:
        return f"Running: the search has ended ({state.search_ended.why})."
    if (waiting := state.undecided) is not None:
        return f"Running: variant {waiting.variant} is being judged."
    if state.sessions_started == 0:
        return "Running: the baseline is being measured."
    return f"Running: the agent works on the next variant, {len(state.attempts)} so far."


def _test_figures(state: State, directory: Path, comparer: Comparer) -> str:
    """What test says of best and baseline: figures over all cases, no case."""
    found = test_comparison(state, directory, comparer)
    if found is None:
        return ""
    paired = found.paired
    gain = Gain(paired.difference, (paired.low, paired.high), paired.p_two_sided, paired.n, paired.won, paired.lost,
                paired.p_greater)  # fmt: skip
    return f": {describe_gain(gain)}"


def test_comparison(state: State, directory: Path, comparer: Comparer) -> Comparison | None:
    """Best against baseline on test, once both are there."""
    folders = [directory / EVALUATIONS / f"{variant}-test" for variant in (BASELINE, state.incumbent)]
    if state.incumbent == BASELINE or not all((folder / MANIFEST_FILE).is_file() for folder in folders):
        return None
    return comparer.compare(*folders).verdict().comparison


def _evaluations(library: Library, run: str, directory: Path, state: State, running: bool) -> Iterator[EvaluationRow]:
    done = {evaluation_name(key): event for key, event in state.evaluations.items()}
    paths = sorted((directory / EVALUATIONS).glob("*"))
    last = max(paths, key=_changed_at, default=None)
    for path in paths:
        try:
            manifest = load_manifest(path)
        except FapoError:
            continue
        shown = manifest.split != "test" or library.include_test
        at = f"{run}/{EVALUATIONS}/{path.name}" if shown else None
        event = done.get(path.name)
        figures: tuple[int, int | None, float | None, int]
        is_last = running and path == last and time.time() - _changed_at(path) < _FRESH_S
        if event is None or is_last:
            figures = _so_far(library.index, path)
        else:
            figures = event.n, event.of, event.mean, event.failures
        goes_on = is_last and (event is None or figures[0] > event.n)
        yield EvaluationRow(path.name, at, manifest.variant, manifest.split, *figures, goes_on)


def _changed_at(path: Path) -> float:
    try:
        return (path / TRACES_FILE).stat().st_mtime
    except OSError:
        return 0.0


def _so_far(index: TraceIndex, path: Path) -> tuple[int, int | None, float | None, int]:
    index.update(path, 0.2)
    found = index.figures(index.file_of(path))
    cases = read_cases(path)
    return found.decided, None if cases is None else len(cases), found.mean, found.failed
