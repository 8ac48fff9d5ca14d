"""The folder of runs as pages see it: names become directories here, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fapo.errors import FapoError, UsageError
from fapo.evaluation.evaluate import MANIFEST_FILE, TRACES_FILE, Manifest, load_manifest
from fapo.optimize.evaluated import project_of
from fapo.records import Case
from fapo.report.run_list import RunRow, run_row
from fapo.store.files import is_locked
from fapo.store.run_names import RUN_FILE
from fapo.ui.blame import blame_some
from fapo.ui.trace_index import Progress, TraceIndex

JOURNAL = "journal.jsonl"
EVALUATIONS = "evaluations"
_QUICK = 2000
"""Cases whose labels are read while a page waits."""


class UnknownPlace(FapoError):
    """No such run, variant, evaluation or case."""


class SealedTest(FapoError):
    """Cases of test are shown only when that was asked for."""


@dataclass(frozen=True, slots=True)
class EvaluationPlace:
    """One evaluation. `at` is its path below the folder of runs; `run` the run that it belongs to, if any."""

    at: str
    directory: Path
    manifest: Manifest
    run: str | None

    @property
    def name(self) -> str:
        return self.at.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One row of the list of runs. `changed_at` is seconds since the epoch."""

    row: RunRow
    changed_at: float
    running: bool
    cases: int | None


@dataclass(frozen=True, slots=True)
class Labels:
    """The cases of an evaluation with their labels, or why they are not at hand."""

    cases: Mapping[str, Case]
    missing: str = ""


class Library:
    """Runs and evaluations below one folder, with the index of their traces."""

    def __init__(self, runs_dir: Path, index: TraceIndex, *, include_test: bool) -> None:
        self.runs_dir = runs_dir
        self.index = index
        self.include_test = include_test
        self._rows: dict[Path, tuple[tuple[int, int], RunRow]] = {}
        self._labels: dict[Path, Labels] = {}
        self._judging = threading.Lock()

    def rows(self) -> list[RunEntry]:
        """What was run, the latest first."""
        found = []
        for path in sorted((path for path in self.runs_dir.glob("*") if path.is_dir()), reverse=True):
            if (entry := self._entry(path)) is not None:
                found.append(entry)
        return found

    def _entry(self, path: Path) -> RunEntry | None:
        is_run = (path / RUN_FILE).is_file()
        if not is_run and not (path / MANIFEST_FILE).is_file():
            return None
        log = path / (JOURNAL if is_run else TRACES_FILE)
        status = log.stat() if log.is_file() else path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        cases = None
        if is_run:
            if self._rows.get(path, (None, None))[0] != stamp:
                self._rows[path] = (
                    stamp,
                    run_row(path) or RunRow(path.name, "optimize", "", "unreadable", *[None] * 3),
                )
            row = self._rows[path][1]
        else:
            row, cases = self._evaluation_row(path)
        return RunEntry(row, status.st_mtime, is_locked(path), cases)

    def _evaluation_row(self, path: Path) -> tuple[RunRow, int | None]:
        try:
            manifest = load_manifest(path)
        except FapoError:
            return RunRow(path.name, "eval", "", "unreadable", None, None, None), None
        self.index.update(path, 0.1)
        figures = self.index.figures(self.index.file_of(path))
        row = RunRow(path.name, "eval", manifest.pipeline, manifest.split, figures.mean, None, figures.usage.cost_usd)
        return row, figures.samples

    def run(self, name: str) -> Path:
        """The directory of a run. Raises UnknownPlace."""
        path = self._inside(name)
        if "/" in name or not (path / RUN_FILE).is_file():
            raise UnknownPlace(f"there is no run {name} in {self.runs_dir}")
        return path

    def variant(self, run: str, variant: str) -> Path:
        """The snapshot of a variant. Raises UnknownPlace."""
        path = self.run(run) / "variants" / variant
        if not variant.isalnum() or not path.is_dir():
            raise UnknownPlace(f"run {run} has no variant {variant}")
        return path

    def evaluation(self, at: str) -> EvaluationPlace:
        """An evaluation whose cases may be shown. Raises UnknownPlace, and SealedTest for one on test."""
        directory = self._inside(at)
        parts = at.split("/")
        if not (len(parts) == 1 or (len(parts) == 3 and parts[1] == EVALUATIONS)):
            raise UnknownPlace(f"there is no evaluation {at} in {self.runs_dir}")
        if not (directory / MANIFEST_FILE).is_file():
            raise UnknownPlace(f"there is no evaluation {at} in {self.runs_dir}")
        manifest = load_manifest(directory)
        if manifest.split == "test" and not self.include_test:
            raise SealedTest("cases of test are not shown: start `fapo ui --include-test` if that is what you want")
        return EvaluationPlace(at, directory, manifest, parts[0] if len(parts) == 3 else None)

    def evaluations(self, run: str) -> list[EvaluationPlace]:
        """The evaluations of a run that can be read, those on test left out where they are not to be shown."""
        found = []
        for path in sorted((self.run(run) / EVALUATIONS).glob("*")):
            try:
                found.append(self.evaluation(f"{run}/{EVALUATIONS}/{path.name}"))
            except FapoError:
                continue
        return found

    def _inside(self, name: str) -> Path:
        """A path below the folder of runs, whatever the name tries. Raises UnknownPlace."""
        root = self.runs_dir.resolve()
        parts = name.split("/")
        if "\0" in name or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
            raise UnknownPlace(f"there is no {name!r} in {self.runs_dir}")
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_dir():
            raise UnknownPlace(f"there is no {name} in {self.runs_dir}")
        return path

    def labels(self, place: EvaluationPlace) -> Labels:
        """Read once for each evaluation."""
        if place.directory not in self._labels:
            try:
                project = project_of(place.directory, place.manifest)
                found = Labels({case.id: case for case in project.cases(place.manifest.split)})
            except (FapoError, OSError) as error:
                found = Labels({}, str(error))
            self._labels[place.directory] = found
        return self._labels[place.directory]

    def refresh(self, place: EvaluationPlace, seconds: float, *, patient: bool = True) -> tuple[Progress, int]:
        """Index and then judge what is new, for about so many seconds each: how far, and how many cases wait.

        Not `patient`, what takes longer in a large evaluation is left for the next time.
        """
        progress = self.index.update(place.directory, seconds)
        file = self.index.file_of(place.directory)
        quick = patient or place.directory in self._labels or self.index.figures(file).samples <= _QUICK
        if not progress.done or not quick:
            return progress, self.index.waiting(file)
        cases = self.labels(place).cases
        with self._judging:
            return progress, blame_some(self.index, place.directory, cases, seconds)

    def why_unlabelled(self, place: EvaluationPlace) -> str:
        """Why the labels of an evaluation are not at hand, where that was found out."""
        found = self._labels.get(place.directory)
        return "" if found is None else found.missing


def check_folder(path: Path) -> Path:
    """A folder of runs that can be read. Raises UsageError."""
    if not path.is_dir():
        raise UsageError("no such folder of runs; `--runs DIR` names another", path=path)
    return path
