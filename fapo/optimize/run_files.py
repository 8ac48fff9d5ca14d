"""A run as it lies on disk, finished or not: read, never written, and without a model or a lock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from fapo.config import OptimizeConfig
from fapo.errors import FapoError, UsageError
from fapo.evaluation.evaluate import MANIFEST_FILE, load_decided
from fapo.evaluation.project import Project
from fapo.evaluation.request import read_cases
from fapo.optimize.events import Entry, State, read_entries, replay
from fapo.optimize.start import asked_of, reopen_run
from fapo.records import CaseRecord, Split
from fapo.report.facts import Asked
from fapo.store.files import from_json, is_locked, read_json
from fapo.store.run_names import RUN_FILE
from fapo.store.variants import Snapshot, take_snapshot


class RunFiles:
    """The directory of a run of `fapo optimize`. Raises UsageError for what is none, or cannot be read back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        path = directory / RUN_FILE
        if not path.is_file():
            raise UsageError("not a run of fapo optimize: run.json is missing", path=directory)
        try:
            self.frozen: dict[str, Any] = read_json(path)
            self.config = OptimizeConfig.model_validate(self.frozen["config"])
            self.source = Path(self.frozen["source"])
            self.pipeline = str(self.frozen["pipeline"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"cannot be read back: {' '.join(str(error).split())}", path=path) from None
        journal = directory / "journal.jsonl"
        try:
            self.entries: tuple[Entry, ...] = tuple(read_entries(journal))
        except ValidationError as error:
            raise UsageError(f"cannot be read back: {' '.join(str(error).split())[:200]}", path=journal) from None
        self.state: State = replay(self.entries)
        self._records: dict[tuple[str, Split], Mapping[str, CaseRecord]] = {}

    @property
    def is_running(self) -> bool:
        """Whether a fapo process is working on it."""
        return is_locked(self.directory)

    @cached_property
    def project(self) -> Project | str:
        """What the run is measured on; in words why not, where that has changed since, or cannot be found."""
        try:
            return reopen_run(self.directory)[0]
        except (FapoError, OSError) as error:
            return str(error)

    @cached_property
    def asked(self) -> Asked:
        """As it was taken down when the run began; where it was not, as far as it can be found out now."""
        if "asked" in self.frozen:
            try:
                return from_json(Asked, json.dumps(self.frozen["asked"]))
            except ValidationError as error:
                raise UsageError(f"cannot be read back: {' '.join(str(error).split())[:200]}",
                                 path=self.directory / RUN_FILE) from None  # fmt: skip
        versions = {"fapo": str(self.frozen.get("fapo", ""))}
        if isinstance(self.project, str):
            return Asked("", "", "", "", {}, None, None, {}, {}, None, versions)
        return replace(asked_of(self.project, self.config.optimizer_model), versions=versions)

    def snapshot(self, variant: str) -> Snapshot:
        """The files of a variant; none where it was not frozen yet."""
        directory = self.directory / "variants" / variant
        return take_snapshot(directory) if directory.is_dir() else {}

    def records(self, variant: str, split: Split) -> Mapping[str, CaseRecord]:
        """The decided cases of an evaluation by id, in the order of the split, of several trials the first; empty where
        there is none."""
        key = (variant, split)
        if key not in self._records:
            directory = self.evaluation_dir(variant, split)
            found: dict[str, CaseRecord] = {}
            if (directory / MANIFEST_FILE).is_file():
                decided: dict[str, CaseRecord] = {}
                for (case, _), record in sorted(load_decided(directory).items(), key=lambda item: item[0][1]):
                    decided.setdefault(case, record)
                order = read_cases(directory) or dict.fromkeys(decided)
                found = {case: decided[case] for case in order if case in decided}
            self._records[key] = found
        return self._records[key]

    def values(self, variant: str, split: Split) -> dict[str, float]:
        """The mean of each decided case over its trials, in the order of the split."""
        directory = self.evaluation_dir(variant, split)
        collected: dict[str, list[float]] = {case: [] for case in self.records(variant, split)}
        for (case, _), record in load_decided(directory).items() if collected else ():
            if record.value is not None and case in collected:
                collected[case].append(record.value)
        return {case: fmean(values) for case, values in collected.items() if values}

    def clusters(self, split: Split) -> dict[str, str] | None:
        """Which cases are not independent of each other, as it was taken down when the baseline ran."""
        cases = read_cases(self.evaluation_dir("000", split)) or {}
        found = {case: cluster for case, cluster in cases.items() if cluster is not None}
        return found or None

    def evaluation_dir(self, variant: str, split: Split) -> Path:
        return self.directory / "evaluations" / f"{variant}-{split}"
